//! A type of objects that the server keeps: its names, and what is special about it.

use std::sync::Arc;

use discovery::serve::kube::Resource;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// A type of objects.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) resource: Arc<Resource>,
    pub(super) singular: String,
    pub(super) short_names: Vec<String>,
    pub(super) categories: Vec<String>,
    /// Whether its status is written apart from the rest.
    pub(super) has_status: bool,
    pub(super) scale: Option<Scale>,
    /// Whether changes of its content are counted in `metadata.generation`.
    pub(super) counted: bool,
    /// Whether a deletion answers with the object instead of a Status.
    pub(super) returns_deleted: bool,
    /// Turns an object into what its Go type would make of it; none for custom resources,
    /// which are taken as they are.
    pub(super) shape: Option<Shape>,
}

/// Decodes an object and encodes it again: what its type does not know is lost.
pub(super) type Shape = fn(&Value) -> Result<Value, String>;

/// Where a type keeps what `/scale` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) wanted: String,
    pub(super) found: String,
    /// The path of a selector: an object with `matchLabels`, or its text.
    pub(super) selector: Option<String>,
}

impl Kind {
    /// A built-in type.
    pub(super) fn builtin<K: Serialize + DeserializeOwned>(resource: Resource) -> Self {
        Self {
            singular: resource.kind.to_lowercase(),
            resource: Arc::new(resource),
            short_names: Vec::new(),
            categories: Vec::new(),
            has_status: false,
            scale: None,
            counted: false,
            returns_deleted: false,
            shape: Some(shape::<K>),
        }
    }

    pub(super) fn short(mut self, names: &[&str]) -> Self {
        self.short_names = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    pub(super) fn with_status(mut self) -> Self {
        self.has_status = true;
        self
    }

    /// Changes are counted.
    pub(super) fn counted(mut self) -> Self {
        self.counted = true;
        self
    }

    pub(super) fn returned(mut self) -> Self {
        self.returns_deleted = true;
        self
    }

    /// A type of workloads: in the category `all`, with replicas to be scaled.
    pub(super) fn scaled(mut self) -> Self {
        self.scale = Some(Scale {
            wanted: "/spec/replicas".to_owned(),
            found: "/status/replicas".to_owned(),
            selector: Some("/spec/selector".to_owned()),
        });
        self.in_all()
    }

    pub(super) fn in_all(self) -> Self {
        self.categorized("all")
    }

    pub(super) fn categorized(mut self, category: &str) -> Self {
        self.categories = vec![category.to_owned()];
        self
    }

    /// Whether it is a custom resource.
    pub(super) fn is_custom(&self) -> bool {
        self.shape.is_none()
    }

    /// Whether it is this core type.
    pub(super) fn is(&self, plural: &str) -> bool {
        self.shape.is_some() && self.resource.plural == plural
    }
}

fn shape<K: Serialize + DeserializeOwned>(object: &Value) -> Result<Value, String> {
    let typed: K = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}
