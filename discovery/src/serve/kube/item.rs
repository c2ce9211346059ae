//! An object as it is kept: its JSON, and what selectors ask for.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::resource::Resource;

/// An object at one version. It is never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    key: Box<str>,
    version: u64,
    labels: Box<[(Box<str>, Box<str>)]>,
    fields: Box<[Box<str>]>,
    /// The object without its kind and API version.
    body: Bytes,
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The version that it made.
    pub version: u64,
    /// What was before; nothing when the object was created.
    pub before: Option<Arc<Item>>,
    /// What is now; nothing when it was deleted.
    pub after: Option<Arc<Item>>,
}

#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

impl Item {
    /// Keeps `object` as one of `resource` at `version`, which is written into it; 0 for one
    /// that is not kept, but shown as if it were.
    #[must_use]
    pub fn new(resource: &Resource, mut object: Map<String, Value>, version: u64) -> Self {
        object.remove("kind");
        object.remove("apiVersion");
        let metadata = object
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        if version > 0 {
            metadata["resourceVersion"] = Value::String(version.to_string());
        }
        let text = |name: &str| metadata[name].as_str().unwrap_or_default();
        let key = key(Some(text("namespace")), text("name")).into_boxed_str();
        let labels = metadata["labels"].as_object().into_iter().flatten();
        let labels = labels
            .map(|(name, value)| (name.as_str().into(), value.as_str().unwrap_or("").into()))
            .collect();
        let object = Value::Object(object);
        let field = |pointer: &str| match object.pointer(pointer) {
            Some(Value::String(text)) => text.as_str().into(),
            None | Some(Value::Null) => "".into(),
            Some(other) => other.to_string().into_boxed_str(),
        };
        let fields = resource.fields.iter().map(|f| field(&f.pointer)).collect();
        Self {
            key,
            version,
            labels,
            fields,
            // Boxed: kept for long, without what it had to grow.
            body: Bytes::from(object.to_string().into_boxed_str().into_boxed_bytes()),
        }
    }

    /// `namespace/name`, or the name of an object without a namespace. Lists are in the order
    /// of these texts, as etcd's are.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The namespace; empty for an object without one.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.key
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key
            .split_once('/')
            .map_or(&*self.key, |(_, name)| name)
    }

    /// The version that made it what it is.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        let mut labels = self.labels.iter();
        labels
            .find(|(n, _)| **n == *name)
            .map(|(_, value)| &**value)
    }

    /// The value of a field that `resource` lets select by; empty when it is not set.
    #[must_use]
    pub fn field(&self, resource: &Resource, name: &str) -> &str {
        match name {
            "metadata.name" => self.name(),
            "metadata.namespace" => self.namespace(),
            _ => {
                let position = resource.fields.iter().position(|field| field.name == name);
                position
                    .and_then(|at| self.fields.get(at))
                    .map_or("", |v| v)
            }
        }
    }

    /// Its JSON, without kind and API version.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The JSON of its metadata.
    #[must_use]
    pub fn metadata(&self) -> &str {
        serde_json::from_slice::<Outline>(&self.body).map_or("{}", |o| o.metadata.get())
    }

    /// The object, without kind and API version.
    #[must_use]
    pub fn object(&self) -> Map<String, Value> {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The same at another version: how an object is shown that a change takes out of sight.
    #[must_use]
    pub fn at(&self, resource: &Resource, version: u64) -> Self {
        Self::new(resource, self.object(), version)
    }
}

/// The key of an object.
#[must_use]
pub fn key(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        None | Some("") => name.to_owned(),
        Some(namespace) => format!("{namespace}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::serve::kube::resource::Selectable;

    #[test]
    fn what_is_kept_is_what_selectors_ask_for_and_the_rest_as_it_was() {
        let resource = Resource {
            fields: vec![
                Selectable::plain("status.phase"),
                Selectable::plain("spec.on"),
            ],
            ..crate::serve::kube::store::tests::pods()
        };
        let object = json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": { "namespace": "a", "name": "x", "labels": { "app": "hello" } },
            "spec": { "on": true },
        });
        let Value::Object(object) = object else {
            panic!()
        };
        let item = Item::new(&resource, object, 7);
        assert_eq!(
            (item.key(), item.namespace(), item.name()),
            ("a/x", "a", "x")
        );
        assert_eq!((item.label("app"), item.label("b")), (Some("hello"), None));
        assert_eq!(item.field(&resource, "status.phase"), "");
        assert_eq!(item.field(&resource, "spec.on"), "true");
        assert_eq!(item.field(&resource, "metadata.name"), "x");
        let kept = Value::Object(item.object());
        assert_eq!(kept.get("kind"), None);
        assert_eq!(kept["metadata"]["resourceVersion"], "7");
        let moved = item.at(&resource, 9);
        assert_eq!(moved.version(), 9);
        assert!(moved.metadata().contains(r#""resourceVersion":"9""#));
    }
}
