//! Bodies of requests, as objects.

use discovery::serve::kube::Status;
use serde_json::{Map, Value, json};

use super::{kind::Kind, protobuf};

/// What to do with fields that a type does not know (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// They are dropped.
    Drop,
    /// The object is refused.
    Refuse,
}

/// What a body says: JSON, YAML, or Kubernetes' wire format.
///
/// # Errors
/// When it is none of them, or says of an object what no object can have.
pub(super) fn value(body: &[u8], media: &str) -> Result<Value, Status> {
    match protobuf::is(media) {
        true => protobuf::value(body),
        false => text(body, media),
    }
    .and_then(sound)
}

/// The same value, when it is an object whose metadata are what metadata are: everybody behind
/// this may count on it.
///
/// # Errors
/// When it is not.
pub(super) fn sound(value: Value) -> Result<Value, Status> {
    let texts = |value: &Value| match value {
        Value::Null => true,
        Value::Object(map) => map
            .values()
            .all(|value| value.is_string() || value.is_null()),
        _ => false,
    };
    let list = |value: &Value, good: fn(&Value) -> bool| match value {
        Value::Null => true,
        Value::Array(list) => list.iter().all(good),
        _ => false,
    };
    let metadata = &value["metadata"];
    let names = [
        "name",
        "namespace",
        "generateName",
        "uid",
        "resourceVersion",
    ];
    let good = value.is_object()
        && (metadata.is_object() || metadata.is_null())
        && names
            .iter()
            .all(|name| metadata[name].is_string() || metadata[name].is_null())
        && texts(&metadata["labels"])
        && texts(&metadata["annotations"])
        && list(&metadata["finalizers"], Value::is_string)
        && list(&metadata["ownerReferences"], Value::is_object)
        && list(&metadata["managedFields"], Value::is_object);
    match good {
        true => Ok(value),
        false => Err(Status::bad_request(
            "the body is no object, or its metadata are none",
        )),
    }
}

fn text(body: &[u8], media: &str) -> Result<Value, Status> {
    let yaml = media.contains("yaml");
    let read = match yaml {
        true => serde_yaml_ng::from_slice(body).map_err(|error| error.to_string()),
        false => serde_json::from_slice(body).map_err(|error| error.to_string()),
    };
    read.map_err(|error| {
        let text = String::from_utf8_lossy(body);
        Status::bad_request(format!(
            "couldn't get version/kind; json parse error: {error} ({})",
            shortened(&text)
        ))
    })
}

/// Makes an object of `kind` out of what was sent.
///
/// # Errors
/// When it is of another kind, or its fields are of other types, or unknown and not wanted.
pub(super) fn object(
    kind: &Kind,
    mut sent: Value,
    unknown: Unknown,
) -> Result<Map<String, Value>, Status> {
    let resource = &kind.resource;
    let name = &resource.kind;
    sent = sound(sent)?;
    let (own, version) = (resource.kind.as_str(), resource.api_version());
    if kind.is_custom() && sent["kind"].is_null() {
        let text = sent.to_string();
        let why = format!(
            "Object 'Kind' is missing in '{text}' ({})",
            shortened(&text)
        );
        return Err(unrecognized(name, &why));
    }
    let found = sent["kind"].as_str().unwrap_or(own).to_owned();
    let found_version = sent["apiVersion"].as_str().unwrap_or(&version).to_owned();
    if found != own || found_version != version {
        return Err(Status::bad_request(format!(
            "{found} in version \"{}\" cannot be handled as a {own}",
            found_version.rsplit('/').next().unwrap_or_default()
        )));
    }
    sent["kind"] = json!(own);
    sent["apiVersion"] = json!(version);
    let shaped = match kind.shape {
        None => sent,
        Some(shape) => {
            numbers_of_quantities(&mut sent);
            let shaped = shape(&sent).map_err(|error| cannot(kind, &error))?;
            let lost = lost(&sent, &shaped, "");
            if unknown == Unknown::Refuse && !lost.is_empty() {
                let lost: Vec<_> = lost
                    .iter()
                    .map(|path| format!("unknown field {path:?}"))
                    .collect();
                return Err(cannot(
                    kind,
                    &format!("strict decoding error: {}", lost.join(", ")),
                ));
            }
            shaped
        }
    };
    match shaped {
        Value::Object(object) => Ok(object),
        _ => Err(unrecognized(name, "the body is no object")),
    }
}

/// The beginning of a text.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(30) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text.to_owned(),
    }
}

fn unrecognized(kind: &str, why: &str) -> Status {
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {why}"
    ))
}

fn cannot(kind: &Kind, why: &str) -> Status {
    let (kind, version) = (&kind.resource.kind, &kind.resource.version);
    Status::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}"
    ))
}

/// Kubernetes takes numbers as quantities, and keeps their text.
fn numbers_of_quantities(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let holds = matches!(
                    name.as_str(),
                    "limits" | "requests" | "capacity" | "allocatable" | "overhead"
                );
                if let (true, Value::Object(amounts)) = (holds, &mut *value) {
                    for amount in amounts.values_mut().filter(|amount| amount.is_number()) {
                        *amount = json!(amount.to_string());
                    }
                }
                numbers_of_quantities(value);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(numbers_of_quantities),
        _ => {}
    }
}

/// The paths of fields that were sent and are no more.
fn lost(sent: &Value, kept: &Value, path: &str) -> Vec<String> {
    match (sent, kept) {
        (Value::Object(sent), Value::Object(kept)) => {
            let found =
                sent.iter()
                    .filter(|(_, value)| !value.is_null())
                    .flat_map(|(name, value)| {
                        let path = if path.is_empty() {
                            name.clone()
                        } else {
                            format!("{path}.{name}")
                        };
                        match kept.get(name) {
                            Some(kept) => lost(value, kept, &path),
                            None => vec![path],
                        }
                    });
            found.collect()
        }
        (Value::Array(sent), Value::Array(kept)) => {
            let pairs = sent.iter().zip(kept).enumerate();
            let found =
                pairs.flat_map(|(at, (sent, kept))| lost(sent, kept, &format!("{path}[{at}]")));
            found.collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::registry::Registry;

    fn read(plural: &str, sent: Value) -> Result<Map<String, Value>, String> {
        let kind = Registry::new().core(plural);
        object(&kind, sent, Unknown::Refuse).map_err(|status| status.message().to_owned())
    }

    #[test]
    fn what_a_type_does_not_know_is_named() {
        let sent = json!({ "metadata": { "name": "x" }, "daaata": { "a": "b" } });
        let why = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding \
            error: unknown field \"daaata\"";
        assert_eq!(read("configmaps", sent).unwrap_err(), why);
        let deep =
            json!({ "spec": { "containers": [{ "name": "c" }, { "name": "d", "imag": "x" }] } });
        assert!(
            read("pods", deep)
                .unwrap_err()
                .contains("\"spec.containers[1].imag\"")
        );
    }

    #[test]
    fn what_is_of_another_kind_or_type_is_refused() {
        assert!(read("namespaces", json!({ "kind": "Pod" })).is_err());
        assert!(read("pods", json!({ "spec": { "containers": "x" } })).is_err());
        assert!(read("secrets", json!({ "data": { "a": "%%" } })).is_err());
        assert!(read("pods", json!([])).is_err());
    }

    #[test]
    fn amounts_may_be_numbers() {
        let sent = json!({ "spec": { "containers": [
            { "name": "c", "resources": { "limits": { "cpu": 1 } } },
        ] } });
        let pod = read("pods", sent).unwrap();
        assert_eq!(
            pod["spec"]["containers"][0]["resources"]["limits"]["cpu"],
            "1"
        );
    }
}
