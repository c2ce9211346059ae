//! What Kubernetes' controllers and kubelets do, as far as a small cluster needs it.
//!
//! One task per server. It looks at what is there, not at what happened: a pass over what has
//! changed makes the rest so that it fits, and doing it twice does nothing more.

mod deployments;
mod event;
mod namespaces;
mod node;
mod replicas;
mod slices;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use discovery::serve::kube::Store;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::{kind::Kind, state::State};
pub(super) use node::Node;

/// Keeps a cluster in order, for as long as it is polled.
pub(super) async fn run(state: Arc<State>, mut node: Option<Node>) {
    let mut any = state.memory.any_change();
    let watched = |types: &[(&str, &str)]| Stir::of(&state, types);
    let (services, pods, sets) = (("", "services"), ("", "pods"), ("apps", "replicasets"));
    let mut for_namespaces = watched(&[("", "namespaces"), ("", "serviceaccounts")]);
    let mut for_deployments = watched(&[("apps", "deployments"), sets]);
    let mut for_sets = watched(&[sets, pods]);
    let mut for_slices = watched(&[
        services,
        pods,
        ("", "nodes"),
        ("discovery.k8s.io", "endpointslices"),
    ]);
    loop {
        any.mark_unchanged();
        let begun = Instant::now();
        if for_namespaces.stirred() {
            namespaces::furnish(&state);
        }
        namespaces::empty(&state);
        if for_deployments.stirred() {
            deployments::settle(&state);
        }
        if for_sets.stirred() {
            replicas::settle(&state);
        }
        if for_slices.stirred() {
            slices::settle(&state);
        }
        if let Some(node) = &mut node {
            node.settle();
        }
        // Not more than half of the time: many changes in a row are taken together.
        tokio::time::sleep(begun.elapsed().min(LONGEST_REST)).await;
        tokio::select! {
            changed = any.changed() => if changed.is_err() { return },
            () = ended(node.as_mut()) => {}
        }
    }
}

/// Whether objects of some types have changed.
struct Stir(Vec<watch::Receiver<u64>>);

impl Stir {
    /// At first they have.
    fn of(state: &State, types: &[(&str, &str)]) -> Self {
        let receivers = types.iter().map(|(group, plural)| {
            let kind = state.registry.builtin(group, plural);
            let mut receiver = state.memory.changes(&kind.resource);
            receiver.mark_changed();
            receiver
        });
        Self(receivers.collect())
    }

    fn stirred(&mut self) -> bool {
        let mut stirred = false;
        for receiver in &mut self.0 {
            // The store outlives us; an error would mean that nothing changes any more.
            stirred |= receiver.has_changed().unwrap_or_default();
            receiver.mark_unchanged();
        }
        stirred
    }
}

async fn ended(node: Option<&mut Node>) {
    match node {
        Some(node) => node.ended().await,
        None => std::future::pending().await,
    }
}

/// The text at a JSON pointer; empty when there is none.
fn text<'a>(object: &'a Map<String, Value>, pointer: &str) -> &'a str {
    let found = discovery::serve::kube::column::at(object, pointer);
    found.and_then(Value::as_str).unwrap_or_default()
}

/// The number at a JSON pointer; 0 when there is none.
fn number(object: &Map<String, Value>, pointer: &str) -> i64 {
    let found = discovery::serve::kube::column::at(object, pointer);
    found.and_then(Value::as_i64).unwrap_or_default()
}

/// That an object belongs to `owner`, as its controller.
fn owner(kind: &Kind, owner: &Map<String, Value>) -> Value {
    serde_json::json!([{
        "apiVersion": kind.resource.api_version(),
        "kind": kind.resource.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}

/// Whether the object of this metadata belongs to the object of this UID.
fn belongs(object: &Map<String, Value>, uid: &str) -> bool {
    let mut owners = object["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten();
    owners.any(|owner| owner["uid"] == uid && owner["controller"] == true)
}

const LONGEST_REST: Duration = Duration::from_millis(200);
