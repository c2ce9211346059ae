//! Lists, whole and in pages.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    continuation::Continue,
    item::{Change, Item},
    options::{At, ListParams},
    resource::Resource,
    status::Status,
    store::{Expired, Store, View},
};

/// One answer to a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The version that it shows.
    pub version: u64,
    /// The objects, in the order of their keys.
    pub items: Vec<Arc<Item>>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// How many are left for further pages, where that is known.
    pub remaining: Option<usize>,
}

/// Answers a list.
///
/// # Errors
/// 410 when the version is forgotten, 504 when it is not there yet.
pub fn list(store: &dyn Store, resource: &Resource, params: &ListParams) -> Result<Page, Status> {
    let (since, start) = match &params.at {
        At::Latest | At::Any | At::NotOlderThan(_) => (None, ""),
        At::Exact(version) => (Some(*version), ""),
        At::Page(place) => (
            u64::try_from(place.version).ok().filter(|v| *v > 0),
            &*place.start,
        ),
    };
    if let At::Exact(version) | At::NotOlderThan(version) = params.at {
        let current = store.version();
        if version > current {
            return Err(Status::too_large(version, current));
        }
    }
    let view = store
        .view(resource, since)
        .map_err(|expired| forgotten(params, expired))?;
    Ok(page(resource, params, at_version(view, since), start))
}

/// What was there at `since`: everything that happened later is undone.
fn at_version(view: View, since: Option<u64>) -> View {
    let Some(version) = since else {
        return view;
    };
    let items = undone(view.items, &view.changes);
    View {
        version,
        items,
        changes: Vec::new(),
    }
}

/// The objects before `changes`.
fn undone(items: Vec<Arc<Item>>, changes: &[Change]) -> Vec<Arc<Item>> {
    if changes.is_empty() {
        return items;
    }
    let mut items: BTreeMap<String, Arc<Item>> = items
        .into_iter()
        .map(|item| (item.key().to_owned(), item))
        .collect();
    for change in changes.iter().rev() {
        if let Some(after) = &change.after {
            items.remove(after.key());
        }
        if let Some(before) = &change.before {
            items.insert(before.key().to_owned(), Arc::clone(before));
        }
    }
    items.into_values().collect()
}

fn page(resource: &Resource, params: &ListParams, view: View, start: &str) -> Page {
    let selector = &params.selector;
    let wanted = |item: &Arc<Item>| item.key() >= start && selector.matches(resource, item);
    let mut items: Vec<_> = view.items.into_iter().filter(wanted).collect();
    let found = items.len();
    let (mut next, mut remaining) = (None, None);
    if params.limit > 0 && found > params.limit {
        items.truncate(params.limit);
        let last = items.last().map_or("", |item| item.key());
        let version = i64::try_from(view.version).unwrap_or(i64::MAX);
        next = Some(Continue::after(last, version).token());
        // As Kubernetes: with a selector it does not count what it has not looked at.
        remaining = (!selector.selects()).then_some(found - params.limit);
    }
    Page {
        version: view.version,
        items,
        next,
        remaining,
    }
}

fn forgotten(params: &ListParams, expired: Expired) -> Status {
    match &params.at {
        At::Page(place) => Status::expired(INCONSISTENT).continued_by(place.onward().token()),
        At::Exact(_) => Status::expired("The resourceVersion for the provided list is too old."),
        _ => Status::too_old(0, expired.oldest),
    }
}

const INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

#[cfg(test)]
mod tests;
