//! EndpointSlices: for each Service with a selector, the pods that it selects.

use std::{collections::BTreeMap, sync::Arc};

use discovery::serve::kube::{Item, LabelSelector};
use serde_json::{Map, Value, json};

use super::{belongs, owner, text};
use crate::apiserver::{
    admit::{Part, now},
    kind::Kind,
    state::{State, Write},
    write::Deletion,
};

/// Makes slices what Services and pods say.
pub(super) fn settle(state: &State) {
    let pods = pods(state);
    let kinds = (
        state.registry.core("services"),
        state.registry.builtin("discovery.k8s.io", "endpointslices"),
    );
    let slices = state.memory.all(&kinds.1.resource);
    for service in state.memory.all(&kinds.0.resource) {
        let object = service.object();
        let empty = Vec::new();
        let pods = pods.get(service.namespace()).unwrap_or(&empty);
        if let Some(wanted) = wanted(state, &kinds.0, &object, pods) {
            let found: Vec<_> = slices
                .iter()
                .filter(|slice| is_of(slice, service.name(), &object))
                .collect();
            fit(state, &kinds.1, wanted, &found, &object);
        }
    }
}

fn pods(state: &State) -> BTreeMap<String, Vec<Arc<Item>>> {
    let mut pods: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for pod in state.memory.all(&state.registry.core("pods").resource) {
        pods.entry(pod.namespace().to_owned())
            .or_default()
            .push(pod);
    }
    pods
}

fn is_of(slice: &Item, service: &str, object: &Map<String, Value>) -> bool {
    slice.namespace() == text(object, "/metadata/namespace")
        && slice.label(SERVICE) == Some(service)
        && slice.label(MANAGED) == Some(CONTROLLER)
        && belongs(&slice.object(), text(object, "/metadata/uid"))
}

/// Creates, changes and deletes slices until they are what is wanted.
fn fit(
    state: &State,
    kind: &Kind,
    wanted: Vec<Map<String, Value>>,
    found: &[&Arc<Item>],
    service: &Map<String, Value>,
) {
    let namespace = text(service, "/metadata/namespace");
    // What is refused here was changed by somebody else: the next pass sees it.
    for slice in found.iter().skip(wanted.len()) {
        let _ = state.delete(kind, slice.key(), &Deletion::default());
    }
    for (at, slice) in wanted.into_iter().enumerate() {
        match found.get(at) {
            Some(found) => {
                let make = |before| Ok(renewed(before, &slice));
                let _ = state.change(kind, found.key(), Part::Main, Write::Keep, make);
            }
            None => {
                let _ = state.create(kind, Some(namespace), slice, Write::Keep);
            }
        }
    }
}

/// What a slice becomes; the time of the change is only written when there is one.
fn renewed(mut slice: Map<String, Value>, wanted: &Map<String, Value>) -> Map<String, Value> {
    let same = slice.get("endpoints") == wanted.get("endpoints")
        && slice.get("ports") == wanted.get("ports");
    for part in ["endpoints", "ports"] {
        slice.insert(
            part.to_owned(),
            wanted.get(part).cloned().unwrap_or_default(),
        );
    }
    slice["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
    if !same {
        slice["metadata"]["annotations"] = wanted["metadata"]["annotations"].clone();
    }
    slice
}

/// The slices of a Service, at least one; none for one without a selector.
fn wanted(
    state: &State,
    kind: &Kind,
    service: &Map<String, Value>,
    pods: &[Arc<Item>],
) -> Option<Vec<Map<String, Value>>> {
    let selector = service["spec"]["selector"]
        .as_object()
        .filter(|s| !s.is_empty())?;
    if text(service, "/spec/type") == "ExternalName" {
        return None;
    }
    let pairs = selector
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()));
    let selector = LabelSelector::equal(pairs);
    let selected = pods
        .iter()
        .filter(|pod| selector.matches(|name| pod.label(name)));
    let early = service["spec"]["publishNotReadyAddresses"] == true;
    let mut by_ports: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for pod in selected {
        let pod = pod.object();
        if let Some(endpoint) = endpoint(state, &pod, early) {
            // Pods may give one name to different ports: each has a slice of its own.
            let ports = ports(service, &pod);
            let group = by_ports
                .entry(ports.to_string())
                .or_insert_with(|| (ports, Vec::new()));
            group.1.push(endpoint);
        }
    }
    let pieces = by_ports.into_values().flat_map(|(ports, endpoints)| {
        let pieces: Vec<Vec<Value>> = endpoints.chunks(LARGEST).map(<[Value]>::to_vec).collect();
        pieces
            .into_iter()
            .map(move |endpoints| (ports.clone(), json!(endpoints)))
    });
    let mut pieces: Vec<_> = pieces.collect();
    if pieces.is_empty() {
        pieces.push((Value::Null, Value::Null));
    }
    Some(
        pieces
            .into_iter()
            .map(|(ports, endpoints)| slice(kind, service, &ports, &endpoints))
            .collect(),
    )
}

fn slice(
    kind: &Kind,
    service: &Map<String, Value>,
    ports: &Value,
    endpoints: &Value,
) -> Map<String, Value> {
    let name = text(service, "/metadata/name");
    let mut labels = service["metadata"]["labels"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    labels.insert(SERVICE.to_owned(), json!(name));
    labels.insert(MANAGED.to_owned(), json!(CONTROLLER));
    if text(service, "/spec/clusterIP") == "None" {
        labels.insert("service.kubernetes.io/headless".to_owned(), json!(""));
    }
    let slice = json!({
        "metadata": {
            "generateName": format!("{name}-"),
            "labels": labels,
            "annotations": { "endpoints.kubernetes.io/last-change-trigger-time": now() },
            "ownerReferences": owner(kind, service),
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    });
    match slice {
        Value::Object(slice) => slice,
        _ => Map::new(),
    }
}

/// A pod as an endpoint; none without an address, or when it has ended.
fn endpoint(state: &State, pod: &Map<String, Value>, early: bool) -> Option<Value> {
    let address = text(pod, "/status/podIP");
    if address.is_empty() || matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return None;
    }
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let serving = conditions
        .into_iter()
        .any(|c| c["type"] == "Ready" && c["status"] == "True");
    let terminating = !text(pod, "/metadata/deletionTimestamp").is_empty();
    let node = text(pod, "/spec/nodeName");
    let mut endpoint = json!({
        "addresses": [address],
        "conditions": {
            "ready": early || (serving && !terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "nodeName": node,
        "targetRef": {
            "kind": "Pod",
            "namespace": pod["metadata"]["namespace"],
            "name": pod["metadata"]["name"],
            "uid": pod["metadata"]["uid"],
        },
    });
    // A pod on a node that nobody knows is nowhere yet.
    let node = state.core("nodes", "", node)?;
    if let Some(zone) = node.label("topology.kubernetes.io/zone") {
        endpoint["zone"] = json!(zone);
    }
    Some(endpoint)
}

/// The ports of a Service on a pod: names of target ports are those of its containers.
fn ports(service: &Map<String, Value>, pod: &Map<String, Value>) -> Value {
    let containers = || pod["spec"]["containers"].as_array().into_iter().flatten();
    let ports = service["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|port| {
            let target = &port["targetPort"];
            let number = match target.as_str() {
                None => target.clone(),
                Some(name) => {
                    let mut all =
                        containers().flat_map(|c| c["ports"].as_array().into_iter().flatten());
                    let found =
                        all.find(|p| p["name"] == name && p["protocol"] == port["protocol"]);
                    found?["containerPort"].clone()
                }
            };
            let name = port["name"].as_str().unwrap_or_default();
            let mut shown = json!({ "name": name, "protocol": port["protocol"], "port": number });
            if !port["appProtocol"].is_null() {
                shown["appProtocol"] = port["appProtocol"].clone();
            }
            Some(shown)
        });
    ports.collect()
}

const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// Endpoints in one slice at most.
const LARGEST: usize = 100;
