use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::serve::kube::{
    list,
    options::{At, ListParams},
    selector::{FieldSelector, LabelSelector},
    store::tests::{Memory, pods},
};

fn selector(labels: &str, fields: &str) -> Selector {
    Selector {
        labels: LabelSelector::parse(labels).unwrap(),
        fields: FieldSelector::parse(fields).unwrap(),
        ..Selector::default()
    }
}

fn begin(store: &Memory, params: &WatchParams) -> (Watch, Vec<Event>) {
    Watch::begin(store, &Arc::new(pods()), params)
}

fn advance(store: &Memory, watch: &mut Watch) -> Vec<Event> {
    watch.advance(store.history(&pods(), watch.position()))
}

fn told(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| match event {
        Event::Added(item) => format!("+{} {}", item.name(), item.version()),
        Event::Modified(item) => format!("~{} {}", item.name(), item.version()),
        Event::Deleted(item) => format!("-{} {}", item.name(), item.version()),
        Event::Bookmark { version, complete } => format!("={version} {complete}"),
        Event::Failed(status) => format!("!{}", status.code().as_u16()),
    };
    events.iter().map(line).collect()
}

fn start() -> WatchParams {
    WatchParams {
        initial: true,
        bookmarks: true,
        ..WatchParams::default()
    }
}

#[test]
fn a_start_gives_all_that_is_there_and_says_so_and_then_goes_on() {
    let store = Memory::new();
    store.put("b", "x", "Running");
    store.put("a", "x", "Running");
    store.pass();
    let (mut watch, events) = begin(&store, &start());
    assert_eq!(told(&events), ["+a 2", "+b 1", "=3 true"]);
    store.put("a", "x", "Failed");
    store.remove("b");
    assert_eq!(told(&advance(&store, &mut watch)), ["~a 4", "-b 5"]);
    store.pass();
    assert_eq!(told(&advance(&store, &mut watch)), [""; 0]);
    assert_eq!(told(watch.bookmark().as_slice()), ["=6 false"]);
}

#[test]
fn what_begins_to_match_is_added_and_what_ceases_to_is_deleted() {
    let store = Memory::new();
    store.put("a", "x", "Pending");
    let params = WatchParams {
        selector: selector("app=x", "status.phase=Running"),
        ..start()
    };
    let (mut watch, events) = begin(&store, &params);
    assert_eq!(told(&events), ["=1 true"]);
    store.put("a", "x", "Running");
    store.put("a", "y", "Running");
    store.put("a", "y", "Failed");
    store.remove("a");
    let events = advance(&store, &mut watch);
    assert_eq!(told(&events), ["+a 2", "-a 3"]);
    let Event::Deleted(last) = &events[1] else {
        panic!()
    };
    assert_eq!(
        last.label("app"),
        Some("x"),
        "the last that the reader knew"
    );
    assert!(last.metadata().contains(r#""resourceVersion":"3""#));
}

#[test]
fn a_forgotten_past_ends_a_watch_and_a_start_knows_no_past() {
    let store = Memory::new();
    store.put("a", "x", "Running");
    store.put("a", "y", "Running");
    store.compact();
    let since = |since, initial| WatchParams {
        since,
        initial,
        ..start()
    };
    let (_, events) = begin(&store, &since(1, false));
    assert_eq!(told(&events), ["!410"]);
    let Event::Failed(status) = &events[0] else {
        panic!()
    };
    assert_eq!(status.message(), "too old resource version: 1 (2)");
    let (_, events) = begin(&store, &since(1, true));
    assert_eq!(told(&events), ["+a 2", "=2 true"]);
    let (_, events) = begin(&store, &since(2, false));
    assert_eq!(told(&events), [""; 0]);
}

#[test]
fn a_watch_that_runs_lives_through_a_compaction() {
    let store = Memory::new();
    store.put("a", "x", "Running");
    let (mut watch, _) = begin(&store, &start());
    store.pass();
    store.compact();
    store.put("a", "y", "Running");
    assert_eq!(told(&advance(&store, &mut watch)), ["~a 3"]);
}

#[test]
fn nothing_is_told_of_a_version_that_is_not_there_yet() {
    let store = Memory::new();
    store.put("a", "x", "Running");
    let (_, events) = begin(
        &store,
        &WatchParams {
            since: 9,
            ..start()
        },
    );
    assert_eq!(told(&events), ["!504"]);
    let params = WatchParams {
        since: 2,
        ..WatchParams::default()
    };
    let (mut watch, events) = begin(&store, &params);
    assert_eq!(told(&events), [""; 0]);
    store.put("a", "x", "Failed");
    assert_eq!(told(&advance(&store, &mut watch)), [""; 0]);
    store.put("a", "x", "Running");
    assert_eq!(told(&advance(&store, &mut watch)), ["~a 3"]);
    assert_eq!(watch.bookmark(), None, "a reader that takes none gets none");
}

#[derive(Debug, Clone)]
enum Act {
    Put(u8, bool, bool),
    Remove(u8),
    Pass,
    /// The reader hears what there is.
    Hear,
    /// The reader's watch is cut, and resumes.
    Resume,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u8..4, any::<bool>(), any::<bool>()).prop_map(|(n, x, y)| Act::Put(n, x, y)),
        2 => (0u8..4).prop_map(Act::Remove),
        1 => Just(Act::Pass),
        2 => Just(Act::Hear),
        1 => Just(Act::Resume),
    ]
}

fn perform(store: &Memory, act: &Act) {
    let name = |n: &u8| format!("p{n}");
    match act {
        Act::Put(n, app, phase) => store.put(
            &name(n),
            if *app { "x" } else { "y" },
            if *phase { "Running" } else { "Failed" },
        ),
        Act::Remove(n) => store.remove(&name(n)),
        Act::Pass => store.pass(),
        Act::Hear | Act::Resume => {}
    }
}

/// What a reader knows, who believes every event.
#[derive(Default)]
struct Reader(BTreeMap<String, Arc<Item>>);

impl Reader {
    fn hear(&mut self, events: Vec<Event>) -> Result<(), TestCaseError> {
        for event in events {
            match event {
                Event::Added(item) => {
                    prop_assert!(self.0.insert(item.key().to_owned(), item).is_none());
                }
                Event::Modified(item) => {
                    prop_assert!(self.0.insert(item.key().to_owned(), item).is_some());
                }
                Event::Deleted(item) => {
                    prop_assert!(self.0.remove(item.key()).is_some());
                }
                Event::Bookmark { .. } => {}
                Event::Failed(status) => prop_assert!(false, "{status:?}"),
            }
        }
        Ok(())
    }
}

proptest! {
    /// A list at a version and the events since make the list of now, for every selector; and
    /// the list of now with the events undone is the list at that version.
    #[test]
    fn a_list_and_the_events_since_are_the_list_of_now(
        before in prop::collection::vec(act(), 0..12),
        after in prop::collection::vec(act(), 0..24),
        labels in prop_oneof![Just(""), Just("app=x"), Just("app!=x"), Just("app in (x,y)")],
        fields in prop_oneof![Just(""), Just("status.phase!=Failed"), Just("metadata.name=p1")],
    ) {
        let store = Memory::new();
        before.iter().for_each(|act| perform(&store, act));
        let chosen = selector(labels, fields);
        let shown = |at: At| {
            let params = ListParams { selector: chosen.clone(), limit: 0, at };
            list::list(&store, &pods(), &params).unwrap()
        };
        let first = shown(At::Latest);
        let mut reader = Reader::default();
        for item in &first.items {
            reader.0.insert(item.key().to_owned(), Arc::clone(item));
        }
        let resume = |since| WatchParams {
            selector: chosen.clone(),
            since,
            ..WatchParams::default()
        };
        let (mut watch, events) = begin(&store, &resume(first.version));
        reader.hear(events)?;
        for act in &after {
            perform(&store, act);
            match act {
                Act::Hear => reader.hear(advance(&store, &mut watch))?,
                Act::Resume => {
                    let (next, events) = begin(&store, &resume(watch.position()));
                    watch = next;
                    reader.hear(events)?;
                }
                _ => {}
            }
        }
        reader.hear(advance(&store, &mut watch))?;
        let last = shown(At::Latest);
        prop_assert_eq!(reader.0.into_values().collect::<Vec<_>>(), last.items);
        if first.version > 0 {
            prop_assert_eq!(shown(At::Exact(first.version)).items, first.items);
        }
    }
}
