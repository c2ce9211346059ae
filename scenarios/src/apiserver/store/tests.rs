use serde_json::json;

use super::*;
use crate::apiserver::registry::Registry;

fn store() -> (Memory, Arc<crate::apiserver::kind::Kind>) {
    (Memory::new(3), Registry::new().core("configmaps"))
}

fn map(name: &str, value: &str) -> Map<String, Value> {
    let object = json!({ "metadata": { "namespace": "a", "name": name }, "data": { "v": value } });
    match object {
        Value::Object(object) => object,
        _ => unreachable!(),
    }
}

fn set(store: &Memory, resource: &Resource, value: &str) -> Result<Arc<Item>, Status> {
    store.change(resource, "a/x", |_| Ok(Fate::Becomes(map("x", value))))
}

#[test]
fn each_change_is_a_version_and_no_change_is_none() {
    let (store, kind) = store();
    let resource = &kind.resource;
    let made = store.create(resource, map("x", "1")).unwrap();
    assert_eq!(made.version(), 1);
    assert_eq!(
        store
            .create(resource, map("x", "2"))
            .unwrap_err()
            .code()
            .as_u16(),
        409
    );
    assert_eq!(set(&store, resource, "1").unwrap().version(), 1);
    assert_eq!(set(&store, resource, "2").unwrap().version(), 2);
    let last = store
        .change(resource, "a/x", |item| Ok(Fate::Goes(item.object())))
        .unwrap();
    assert_eq!((last.version(), store.version()), (3, 3));
    assert_eq!(set(&store, resource, "3").unwrap_err().code().as_u16(), 404);
    let history = store.history(resource, 1).unwrap();
    assert_eq!(history.changes.len(), 2);
    assert!(history.changes[1].after.is_none());
}

#[test]
fn what_is_refused_changes_nothing() {
    let (store, kind) = store();
    let resource = &kind.resource;
    store.create(resource, map("x", "1")).unwrap();
    let refuse = |_: &Item| Err(Status::bad_request("no"));
    assert!(store.change(resource, "a/x", refuse).is_err());
    assert_eq!(store.version(), 1);
}

#[test]
fn history_is_as_long_as_was_said_and_a_compaction_ends_it_for_new_readers() {
    let (store, kind) = store();
    let resource = &kind.resource;
    store.create(resource, map("x", "0")).unwrap();
    for value in 1..=4 {
        set(&store, resource, &value.to_string()).unwrap();
    }
    assert_eq!(
        store.history(resource, 1).unwrap_err(),
        Expired { oldest: 2 }
    );
    assert_eq!(store.history(resource, 2).unwrap().changes.len(), 3);
    store.compact();
    assert_eq!(store.oldest(resource), 6);
    assert!(store.view(resource, Some(5)).is_err(), "a list of the past");
    assert_eq!(
        store.history(resource, 5).unwrap().changes.len(),
        0,
        "a watch that runs"
    );
    let other = Registry::new().core("secrets");
    assert_eq!(
        store.oldest(&other.resource),
        6,
        "also for what nobody has asked for yet"
    );
}
