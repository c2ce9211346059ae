//! What a list or a watch asks for, out of its query.

use std::time::Duration;

use super::{
    continuation::Continue,
    query::Query,
    resource::Resource,
    selector::{FieldSelector, LabelSelector, Selector},
    status::{Cause, Status},
};

/// What to do with a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Options {
    /// Tell what is there.
    List(ListParams),
    /// Tell what happens.
    Watch(WatchParams),
}

/// What a list asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListParams {
    /// Which objects.
    pub selector: Selector,
    /// How many at most; 0 for all.
    pub limit: usize,
    /// At which version.
    pub at: At,
}

/// The version that a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum At {
    /// The last one.
    #[default]
    Latest,
    /// Whichever is at hand; such a list is never cut into pages.
    Any,
    /// This one or a later one.
    NotOlderThan(u64),
    /// This one.
    Exact(u64),
    /// That of the page before.
    Page(Continue),
}

/// What a watch asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchParams {
    /// Which objects.
    pub selector: Selector,
    /// Behind which version.
    pub since: u64,
    /// Begin with what is there.
    pub initial: bool,
    /// Whether the reader takes bookmarks.
    pub bookmarks: bool,
    /// When to end.
    pub timeout: Option<Duration>,
}

impl Options {
    /// Reads the query of a GET of a collection. `watching` if the path says so already.
    ///
    /// # Errors
    /// What Kubernetes answers to what it does not understand.
    pub fn parse(
        query: &Query,
        resource: &Resource,
        namespace: Option<&str>,
        watching: bool,
    ) -> Result<Self, Status> {
        let limit = number(query, "limit")?.unwrap_or_default();
        let timeout = number(query, "timeoutSeconds")?;
        let selector = selector(query, resource, namespace)?;
        if !watching && !query.flag("watch") {
            check_list(query)?;
            let limit = usize::try_from(limit).unwrap_or_default();
            let at = at(query, limit)?;
            let limit = if at == At::Any { 0 } else { limit };
            return Ok(Self::List(ListParams {
                selector,
                limit,
                at,
            }));
        }
        check_watch(query)?;
        let since = version(query).map_err(|message| Status::failure(500, "", message))?;
        Ok(Self::Watch(WatchParams {
            selector,
            since: since.unwrap_or_default(),
            initial: match query.has("sendInitialEvents") {
                true => query.flag("sendInitialEvents"),
                false => since.unwrap_or_default() == 0,
            },
            bookmarks: query.flag("allowWatchBookmarks"),
            timeout: timeout
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        }))
    }
}

/// The selector that a query asks for; also that of a deletion of many.
///
/// # Errors
/// When it is not understood, or the field is not one to select by.
pub fn selector(
    query: &Query,
    resource: &Resource,
    namespace: Option<&str>,
) -> Result<Selector, Status> {
    let labels = query.get("labelSelector").map(LabelSelector::parse);
    let fields = query.get("fieldSelector").map(FieldSelector::parse);
    let selector = Selector {
        namespace: namespace.map(str::to_owned),
        labels: labels.transpose()?.unwrap_or_default(),
        fields: fields.transpose()?.unwrap_or_default(),
    };
    selector.fields.check(resource)?;
    Ok(selector)
}

fn at(query: &Query, limit: usize) -> Result<At, Status> {
    let wrong = |message| Status::bad_request(format!("invalid resource version: {message}"));
    let version = version(query).map_err(wrong)?;
    if let Some(token) = query.get("continue") {
        return match version {
            Some(version) if version > 0 => Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            )),
            _ => Continue::parse(token).map(At::Page),
        };
    }
    Ok(match (version, query.get("resourceVersionMatch")) {
        (None, _) => At::Latest,
        (Some(0), _) => At::Any,
        (Some(version), Some("Exact")) => At::Exact(version),
        // As it was before there was a resourceVersionMatch.
        (Some(version), None) if limit > 0 => At::Exact(version),
        (Some(version), _) => At::NotOlderThan(version),
    })
}

fn version(query: &Query) -> Result<Option<u64>, String> {
    let Some(text) = query.get("resourceVersion") else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        )
    })
}

fn number(query: &Query, name: &str) -> Result<Option<i64>, Status> {
    let Some(text) = query.get(name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        Status::bad_request(format!(
            "strconv.ParseInt: parsing {text:?}: invalid syntax"
        ))
    })
}

fn check_list(query: &Query) -> Result<(), Status> {
    let mut causes = Vec::new();
    let mut forbid = |field, why: &str| causes.push(Cause::forbidden(field, why));
    let version = query.get("resourceVersion");
    if let Some(rule) = query.get(MATCH) {
        if version.is_none() {
            forbid(
                MATCH,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            );
        }
        if query.get("continue").is_some() {
            forbid(
                MATCH,
                "resourceVersionMatch is forbidden when continue is provided",
            );
        }
        if rule == "Exact" && version == Some("0") {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            forbid(MATCH, why);
        }
        if !matches!(rule, "Exact" | "NotOlderThan") {
            let known = ["Exact", "NotOlderThan", ""];
            causes.push(Cause::unsupported(MATCH, rule, &known));
        }
    }
    if query.has(INITIAL) {
        causes.push(Cause::forbidden(
            INITIAL,
            "sendInitialEvents is forbidden for list",
        ));
    }
    refuse(causes)
}

fn check_watch(query: &Query) -> Result<(), Status> {
    let mut causes = Vec::new();
    let mut forbid = |field, why: &str| causes.push(Cause::forbidden(field, why));
    let (rule, initial) = (query.get(MATCH), query.has(INITIAL));
    let continued = query.get("continue").is_some();
    if initial && rule != Some("NotOlderThan") {
        forbid(
            MATCH,
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        );
    }
    if initial && continued {
        forbid(
            INITIAL,
            "sendInitialEvents is forbidden when continue is provided",
        );
    }
    if rule.is_some() && !initial {
        let why =
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        forbid(MATCH, why);
    }
    if let Some(rule) = rule.filter(|rule| *rule != "NotOlderThan") {
        causes.push(Cause::unsupported(MATCH, rule, &["NotOlderThan"]));
    }
    refuse(causes)
}

fn refuse(causes: Vec<Cause>) -> Result<(), Status> {
    match causes.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid("meta.k8s.io", "ListOptions", "", causes)),
    }
}

const MATCH: &str = "resourceVersionMatch";
const INITIAL: &str = "sendInitialEvents";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::kube::store::tests::pods;

    fn parse(query: &str) -> Result<Options, Status> {
        Options::parse(&Query::parse(query), &pods(), Some("a"), false)
    }

    fn watch(query: &str) -> WatchParams {
        match parse(query).unwrap() {
            Options::Watch(watch) => watch,
            other => panic!("{other:?}"),
        }
    }

    fn list(query: &str) -> ListParams {
        match parse(query).unwrap() {
            Options::List(list) => list,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_says_at_which_version_its_list_shall_be() {
        assert_eq!(list("limit=500").at, At::Latest);
        assert_eq!(list("limit=500").limit, 500);
        let any = list("limit=500&resourceVersion=0");
        assert_eq!(
            (any.at, any.limit),
            (At::Any, 0),
            "istiod's list is never cut"
        );
        assert_eq!(list("resourceVersion=7").at, At::NotOlderThan(7));
        assert_eq!(list("resourceVersion=7&limit=2").at, At::Exact(7));
        assert_eq!(
            list("resourceVersion=7&resourceVersionMatch=Exact").at,
            At::Exact(7)
        );
        assert_eq!(list("limit=-1").limit, 0);
    }

    #[test]
    fn a_watch_begins_with_what_is_there_unless_it_names_a_version() {
        let start = "watch=true&allowWatchBookmarks=true&sendInitialEvents=true\
            &resourceVersionMatch=NotOlderThan&timeoutSeconds=421&timeout=7m1s";
        let start = watch(start);
        assert!(start.initial && start.bookmarks);
        assert_eq!(start.timeout, Some(Duration::from_secs(421)));
        assert!(watch("watch=1").initial && watch("watch=1&resourceVersion=0").initial);
        let resumed = watch("watch=true&resourceVersion=9");
        assert_eq!(
            (resumed.initial, resumed.since, resumed.bookmarks),
            (false, 9, false)
        );
        let quiet = "watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
        assert!(!watch(quiet).initial);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (query, code) in [
            ("resourceVersionMatch=Exact", 422),
            ("resourceVersion=0&resourceVersionMatch=Exact", 422),
            ("resourceVersion=1&resourceVersionMatch=Foo", 422),
            ("sendInitialEvents=true", 422),
            ("watch=true&sendInitialEvents=true", 422),
            ("watch=true&resourceVersionMatch=NotOlderThan", 422),
            ("resourceVersion=x", 400),
            ("watch=true&resourceVersion=x", 500),
            ("limit=x", 400),
            ("timeoutSeconds=x&watch=true", 400),
            ("labelSelector=a%20in", 400),
            ("fieldSelector=spec.foo=x", 400),
            ("continue=abc", 400),
        ] {
            assert_eq!(parse(query).unwrap_err().code().as_u16(), code, "{query}");
        }
    }
}
