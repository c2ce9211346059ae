//! Namespaces: each has a default account, and goes when it is empty.

use discovery::serve::kube::Store;
use serde_json::{Map, Value, json};

use super::text;
use crate::apiserver::{
    state::{State, Write},
    write::Deletion,
};

/// Gives each namespace its default account.
pub(super) fn furnish(state: &State) {
    let (namespaces, accounts) = (
        state.registry.core("namespaces"),
        state.registry.core("serviceaccounts"),
    );
    for namespace in state.memory.all(&namespaces.resource) {
        let name = namespace.name();
        let key = format!("{name}/default");
        let goes = namespace.field(&namespaces.resource, "status.phase") == "Terminating";
        if goes || state.memory.get(&accounts.resource, &key).is_some() {
            continue;
        }
        let account: Map<String, Value> = [("metadata".to_owned(), json!({ "name": "default" }))]
            .into_iter()
            .collect();
        // Somebody else may have been faster.
        let _ = state.create(&accounts, Some(name), account, Write::Keep);
    }
}

/// Deletes what is in namespaces that shall go, and those that are empty.
pub(super) fn empty(state: &State) {
    let namespaces = state.registry.core("namespaces");
    for namespace in state.memory.all(&namespaces.resource) {
        if namespace.field(&namespaces.resource, "status.phase") != "Terminating" {
            continue;
        }
        let name = namespace.name();
        let mut left = 0;
        for kind in state.registry.all() {
            let resource = &kind.resource;
            let all = state.memory.all(resource).into_iter();
            for item in all.filter(|item| resource.namespaced && item.namespace() == name) {
                let goes = !text(&item.object(), "/metadata/deletionTimestamp").is_empty();
                let deleted = match goes {
                    true => None,
                    false => state.delete(&kind, item.key(), &Deletion::default()).ok(),
                };
                left += usize::from(goes || deleted.is_some_and(|deleted| deleted.waits));
            }
        }
        if left == 0 {
            let uid = text(&namespace.object(), "/metadata/uid").to_owned();
            state.remove(&namespaces, name, &uid);
        }
    }
}
