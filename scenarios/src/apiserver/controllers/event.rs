//! Events: what controllers tell people.

use discovery::serve::kube::Store;
use serde_json::{Map, Value, json};

use super::text;
use crate::apiserver::{
    admit::now,
    kind::Kind,
    state::{State, Write},
    write::Deletion,
};

/// Tells that something was done with `object`.
pub(super) fn tell(
    state: &State,
    (kind, object): (&Kind, &Map<String, Value>),
    (component, reason): (&str, &str),
    message: &str,
) {
    let (namespace, name) = (
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name"),
    );
    let version = state.memory.version();
    let time = now();
    let event = json!({
        "metadata": { "name": format!("{name}.{version:016x}") },
        "involvedObject": {
            "kind": kind.resource.kind,
            "apiVersion": kind.resource.api_version(),
            "namespace": namespace,
            "name": name,
            "uid": object["metadata"]["uid"],
            "resourceVersion": object["metadata"]["resourceVersion"],
        },
        "reason": reason,
        "message": message,
        "source": { "component": component },
        "reportingComponent": component,
        "reportingInstance": "",
        "type": "Normal",
        "count": 1,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "eventTime": null,
    });
    let events = state.registry.core("events");
    if let Value::Object(event) = event {
        // An event that is not taken is not worth a failure.
        let _ = state.create(&events, Some(namespace), event, Write::Keep);
    }
    if state.memory.count(&events.resource) > MOST {
        let oldest = state
            .memory
            .all(&events.resource)
            .into_iter()
            .min_by_key(|e| e.version());
        if let Some(oldest) = oldest {
            let _ = state.delete(&events, oldest.key(), &Deletion::default());
        }
    }
}

/// Kubernetes forgets events after an hour, we by their number.
const MOST: usize = 500;
