//! A watch: what a reader hears, event by event.
//!
//! An object that begins to match is ADDED, one that ceases to is DELETED, whatever happened to
//! it. A watch never goes back in time and never leaves a change out: when it cannot go on, it
//! says so and ends.

use std::sync::Arc;

use super::{
    item::{Change, Item},
    options::WatchParams,
    resource::Resource,
    selector::Selector,
    status::Status,
    store::{Expired, History, Store},
};

/// A watch at its place in history.
#[derive(Debug)]
pub struct Watch {
    resource: Arc<Resource>,
    selector: Selector,
    bookmarks: bool,
    /// Everything up to this version was told.
    position: u64,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is there, or begins to match.
    Added(Arc<Item>),
    /// It is another one.
    Modified(Arc<Item>),
    /// It is gone, or ceases to match.
    Deleted(Arc<Item>),
    /// Everything up to this version was told.
    Bookmark {
        /// The version.
        version: u64,
        /// Everything that was there was told.
        complete: bool,
    },
    /// The watch cannot go on.
    Failed(Status),
}

impl Watch {
    /// Begins a watch, and says what its reader hears first.
    pub fn begin(
        store: &dyn Store,
        resource: &Arc<Resource>,
        params: &WatchParams,
    ) -> (Self, Vec<Event>) {
        let mut watch = Self {
            resource: Arc::clone(resource),
            selector: params.selector.clone(),
            bookmarks: params.bookmarks,
            position: params.since,
        };
        let events = match params.initial {
            true => watch.start(store),
            false => watch.resume(store),
        };
        (watch, events)
    }

    /// What to tell of what happened since the last call.
    pub fn advance(&mut self, history: Result<History, Expired>) -> Vec<Event> {
        let history = match history {
            Ok(history) => history,
            Err(Expired { oldest }) => {
                return vec![Event::Failed(Status::too_old(self.position, oldest))];
            }
        };
        let changes = history.changes.iter();
        let events = changes.filter_map(|change| self.tell(change)).collect();
        self.position = self.position.max(history.version);
        events
    }

    /// A bookmark of the place that is reached, for a reader that takes them.
    #[must_use]
    pub fn bookmark(&self) -> Option<Event> {
        self.bookmarks.then_some(Event::Bookmark {
            version: self.position,
            complete: false,
        })
    }

    /// Everything up to this version was told.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    fn resume(&mut self, store: &dyn Store) -> Vec<Event> {
        let (since, oldest) = (self.position, store.oldest(&self.resource));
        self.advance(match since < oldest {
            true => Err(Expired { oldest }),
            false => store.history(&self.resource, since),
        })
    }

    fn start(&mut self, store: &dyn Store) -> Vec<Event> {
        let view = store.view(&self.resource, None).unwrap_or_default();
        if self.position > view.version {
            return vec![Event::Failed(Status::too_large(
                self.position,
                view.version,
            ))];
        }
        self.position = view.version;
        let items = view.items.into_iter();
        let matching = items.filter(|item| self.selector.matches(&self.resource, item));
        let mut events: Vec<_> = matching.map(Event::Added).collect();
        if self.bookmarks {
            events.push(Event::Bookmark {
                version: self.position,
                complete: true,
            });
        }
        events
    }

    fn tell(&self, change: &Change) -> Option<Event> {
        let matching = |item: &&Arc<Item>| self.selector.matches(&self.resource, item);
        let before = change.before.as_ref().filter(matching);
        let after = change.after.as_ref().filter(matching);
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(Event::Added(Arc::clone(after))),
            (Some(_), Some(after)) => Some(Event::Modified(Arc::clone(after))),
            (Some(before), None) => {
                let last = before.at(&self.resource, change.version);
                Some(Event::Deleted(Arc::new(last)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
