//! ReplicaSets: as many pods as are wanted.

use std::sync::Arc;

use discovery::serve::kube::{Item, LabelSelector};
use serde_json::{Map, Value, json};

use super::{belongs, event, number, owner, text};
use crate::apiserver::{
    admit::Part,
    kind::Kind,
    state::{State, Write},
    write::Deletion,
};

/// Makes pods what ReplicaSets say.
pub(super) fn settle(state: &State) {
    let (sets, pods) = (
        state.registry.builtin("apps", "replicasets"),
        state.registry.core("pods"),
    );
    let all = state.memory.all(&pods.resource);
    for set in state.memory.all(&sets.resource) {
        let object = set.object();
        let own: Vec<_> = pods_of(&object, &all).collect();
        if text(&object, "/metadata/deletionTimestamp").is_empty() {
            let active = own
                .iter()
                .filter(|(_, pod)| is_active(pod))
                .collect::<Vec<_>>();
            scale(state, (&sets, &pods), &object, &active);
        }
        tell_status(state, &sets, &set);
    }
}

/// The pods of a set, with what they are.
fn pods_of<'a>(
    set: &'a Map<String, Value>,
    pods: &'a [Arc<Item>],
) -> impl Iterator<Item = (&'a Arc<Item>, Map<String, Value>)> {
    let namespace = text(set, "/metadata/namespace");
    let labels = set["spec"]["selector"]["matchLabels"]
        .as_object()
        .into_iter()
        .flatten();
    let selector = LabelSelector::equal(
        labels.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())),
    );
    let here = pods.iter().filter(move |pod| {
        pod.namespace() == namespace && selector.matches(|name| pod.label(name))
    });
    let uid = text(set, "/metadata/uid");
    here.map(|pod| (pod, pod.object()))
        .filter(move |(_, object)| belongs(object, uid))
}

fn is_active(pod: &Map<String, Value>) -> bool {
    text(pod, "/metadata/deletionTimestamp").is_empty()
        && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

pub(super) fn is_ready(pod: &Map<String, Value>) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn scale(
    state: &State,
    (sets, pods): (&Kind, &Kind),
    set: &Map<String, Value>,
    active: &[&(&Arc<Item>, Map<String, Value>)],
) {
    let wanted = usize::try_from(number(set, "/spec/replicas")).unwrap_or_default();
    let namespace = text(set, "/metadata/namespace");
    for _ in active.len()..wanted {
        // What is refused is tried again with the next change.
        if let Ok(made) = state.create(pods, Some(namespace), pod(sets, set), Write::Keep) {
            let message = format!("Created pod: {}", made.name());
            event::tell(
                state,
                (sets, set),
                ("replicaset-controller", "SuccessfulCreate"),
                &message,
            );
        }
    }
    let mut victims: Vec<_> = active.iter().collect();
    // First those that are not ready, then the youngest.
    victims.sort_by_key(|(item, pod)| (is_ready(pod), std::cmp::Reverse(item.version())));
    for (item, _) in victims
        .into_iter()
        .take(active.len().saturating_sub(wanted))
    {
        if state.delete(pods, item.key(), &Deletion::default()).is_ok() {
            let message = format!("Deleted pod: {}", item.name());
            event::tell(
                state,
                (sets, set),
                ("replicaset-controller", "SuccessfulDelete"),
                &message,
            );
        }
    }
}

fn pod(sets: &Kind, set: &Map<String, Value>) -> Map<String, Value> {
    let template = &set["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["generateName"] = json!(format!("{}-", text(set, "/metadata/name")));
    metadata["ownerReferences"] = owner(sets, set);
    let mut pod = Map::new();
    pod.insert("metadata".to_owned(), metadata);
    pod.insert("spec".to_owned(), template["spec"].clone());
    pod
}

/// Writes what there is into the status.
fn tell_status(state: &State, sets: &Kind, set: &Item) {
    let pods = state.memory.all(&state.registry.core("pods").resource);
    let object = set.object();
    let own: Vec<_> = pods_of(&object, &pods).collect();
    let count = |good: &dyn Fn(&Map<String, Value>) -> bool| {
        own.iter()
            .filter(|(_, pod)| is_active(pod) && good(pod))
            .count()
    };
    let (all, ready) = (count(&|_| true), count(&is_ready));
    let going = own
        .iter()
        .filter(|(_, pod)| !text(pod, "/metadata/deletionTimestamp").is_empty());
    let mut status = json!({
        "replicas": all,
        "terminatingReplicas": going.count(),
        "observedGeneration": number(&object, "/metadata/generation"),
    });
    let labelled = [
        ("fullyLabeledReplicas", all),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
    ];
    for (name, count) in labelled.into_iter().filter(|(_, count)| *count > 0) {
        status[name] = json!(count);
    }
    let make = |mut set: Map<String, Value>| {
        set.insert("status".to_owned(), status);
        Ok(set)
    };
    // A set that is gone has no status.
    let _ = state.change(sets, set.key(), Part::Status, Write::Keep, make);
}
