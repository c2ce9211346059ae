//! `/scale`: the replicas of an object as an object of their own.

use discovery::serve::kube::{Body, Item, Status, Store, answer::json};
use http::{Method, Response, StatusCode};
use serde_json::{Map, Value, json as value};

use super::{Asked, Service};
use crate::apiserver::{
    admit::{MODIFIED, Part},
    decode,
    kind::{Kind, Scale},
    patch::Patch,
};

impl Service {
    pub(super) fn scale(&self, kind: &Kind, asked: &Asked<'_>) -> Result<Response<Body>, Status> {
        let (Some(scale), Some(name)) = (&kind.scale, &asked.target.name) else {
            return Err(Status::no_such_resource());
        };
        let key = asked.key(name);
        let found = self.state.memory.get(&kind.resource, &key);
        let found = found.ok_or_else(|| Status::not_found(&kind.resource, name))?;
        let wanted = match *asked.method {
            Method::GET => {
                return Ok(json(
                    StatusCode::OK,
                    shown(scale, &found).to_string().into(),
                ));
            }
            Method::PUT => decode::value(&asked.body, asked.media)?,
            Method::PATCH => {
                let patch = Patch::read(kind, asked.media, &asked.body, asked.query)?;
                let Value::Object(before) = shown(scale, &found) else {
                    return Err(Status::no_such_resource());
                };
                decode::sound(patch.on(before)?)?
            }
            _ => return Err(Status::method_not_allowed()),
        };
        let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or_default();
        let version = wanted["metadata"]["resourceVersion"]
            .as_str()
            .map(str::to_owned);
        let make = |mut object: Map<String, Value>| {
            let is = object["metadata"]["resourceVersion"]
                .as_str()
                .map(str::to_owned);
            if version.is_some() && version != is {
                let details = discovery::serve::kube::status::Details::of(&kind.resource, name);
                return Err(Status::conflict(details, MODIFIED));
            }
            set(&mut object, &scale.wanted, value!(replicas));
            Ok(object)
        };
        let made = self
            .state
            .change(kind, &key, Part::Main, asked.write(), make)?;
        Ok(json(StatusCode::OK, shown(scale, &made).to_string().into()))
    }
}

fn shown(scale: &Scale, item: &Item) -> Value {
    let object = Value::Object(item.object());
    let number = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or_default()
    };
    let mut status = value!({ "replicas": number(&scale.found) });
    if let Some(selector) = scale
        .selector
        .as_ref()
        .and_then(|pointer| object.pointer(pointer))
    {
        status["selector"] = value!(text(selector));
    }
    let metadata = &object["metadata"];
    let mut kept = Map::new();
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(found) = metadata.get(field) {
            kept.insert(field.to_owned(), found.clone());
        }
    }
    value!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": kept,
        "spec": { "replicas": number(&scale.wanted) },
        "status": status,
    })
}

/// A selector as text.
fn text(selector: &Value) -> String {
    if let Value::String(text) = selector {
        return text.clone();
    }
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut parts: Vec<String> = labels
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    for rule in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = rule["key"].as_str().unwrap_or_default();
        let values = rule["values"].as_array().into_iter().flatten();
        let values: Vec<_> = values.filter_map(Value::as_str).collect();
        parts.push(match rule["operator"].as_str() {
            Some("Exists") => key.to_owned(),
            Some("DoesNotExist") => format!("!{key}"),
            Some("NotIn") => format!("{key} notin ({})", values.join(",")),
            _ => format!("{key} in ({})", values.join(",")),
        });
    }
    parts.join(",")
}

/// Sets a value at a pointer, making objects on the way.
fn set(object: &mut Map<String, Value>, pointer: &str, value: Value) {
    let mut parts: Vec<&str> = pointer.split('/').skip(1).collect();
    let Some(last) = parts.pop() else {
        return;
    };
    let mut place = object;
    for part in parts {
        let next = place.entry(part).or_insert_with(|| value!({}));
        let Value::Object(map) = next else {
            return;
        };
        place = map;
    }
    place.insert(last.to_owned(), value);
}
