use super::*;
use crate::serve::kube::{
    selector::{LabelSelector, Selector},
    store::tests::{Memory, pods},
};

fn ask(store: &Memory, limit: usize, at: At) -> Result<Page, u16> {
    let params = ListParams {
        limit,
        at,
        ..ListParams::default()
    };
    list(store, &pods(), &params).map_err(|status| status.code().as_u16())
}

fn next(page: &Page) -> At {
    At::Page(Continue::parse(page.next.as_ref().unwrap()).unwrap())
}

fn names(page: &Page) -> Vec<&str> {
    page.items.iter().map(|item| item.name()).collect()
}

fn three() -> Memory {
    let store = Memory::new();
    for name in ["c", "a", "b"] {
        store.put(name, "x", "Running");
    }
    store
}

#[test]
fn all_pages_of_a_list_show_the_version_of_the_first() {
    let store = three();
    let first = ask(&store, 2, At::Latest).unwrap();
    assert_eq!(
        (names(&first), first.version, first.remaining),
        (vec!["a", "b"], 3, Some(1))
    );
    store.remove("c");
    store.put("d", "x", "Running");
    store.put("a", "y", "Running");
    let second = ask(&store, 2, next(&first)).unwrap();
    assert_eq!(
        (names(&second), second.version, &second.next),
        (vec!["c"], 3, &None)
    );
    assert_eq!(names(&ask(&store, 0, At::Latest).unwrap()), ["a", "b", "d"]);
    let past = ask(&store, 0, At::Exact(3)).unwrap();
    assert_eq!(past.items[0].label("app"), Some("x"));
}

#[test]
fn a_forgotten_version_is_refused_and_the_rest_may_be_had_as_it_is_now() {
    let store = three();
    let first = ask(&store, 2, At::Latest).unwrap();
    store.put("d", "x", "Running");
    store.compact();
    assert_eq!(ask(&store, 0, At::Exact(3)), Err(410));
    let params = ListParams {
        at: next(&first),
        ..ListParams::default()
    };
    let refused = list(&store, &pods(), &params).unwrap_err();
    let refused: serde_json::Value = serde_json::from_str(&refused.text()).unwrap();
    assert_eq!(refused["reason"], "Expired");
    let onward = refused["metadata"]["continue"].as_str().unwrap();
    let rest = ask(&store, 0, At::Page(Continue::parse(onward).unwrap())).unwrap();
    assert_eq!((names(&rest), rest.version), (vec!["c", "d"], 4));
}

#[test]
fn a_version_that_is_not_there_yet_is_not_made_up() {
    let store = three();
    assert_eq!(ask(&store, 0, At::NotOlderThan(4)), Err(504));
    assert_eq!(ask(&store, 0, At::Exact(4)), Err(504));
    assert_eq!(ask(&store, 0, At::NotOlderThan(1)).unwrap().version, 3);
}

#[test]
fn with_a_selector_what_is_left_is_not_counted() {
    let store = three();
    let selector = Selector {
        labels: LabelSelector::parse("app=x").unwrap(),
        ..Selector::default()
    };
    let params = ListParams {
        selector,
        limit: 1,
        at: At::Latest,
    };
    let page = list(&store, &pods(), &params).unwrap();
    assert!(page.next.is_some());
    assert_eq!(page.remaining, None);
}
