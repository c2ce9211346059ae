//! Which types are served: the built-in ones, and those that definitions add.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use discovery::serve::kube::{
    Resource,
    column::{Cell, Column},
    jsonpath::JsonPath,
};
use serde_json::{Map, Value};

use super::{
    builtin,
    kind::{Kind, Scale},
};

/// The types, by group, version and plural.
#[derive(Debug)]
pub(super) struct Registry {
    kinds: RwLock<BTreeMap<Id, Arc<Kind>>>,
}

/// Group, version, plural.
type Id = (String, String, String);

impl Registry {
    pub(super) fn new() -> Self {
        let kinds = builtin::kinds().into_iter().map(entry).collect();
        Self {
            kinds: RwLock::new(kinds),
        }
    }

    /// The type at a path.
    pub(super) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let id = (group.to_owned(), version.to_owned(), plural.to_owned());
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        kinds.get(&id).cloned()
    }

    /// A built-in type of the core group.
    pub(super) fn core(&self, plural: &str) -> Arc<Kind> {
        self.builtin("", plural)
    }

    /// A built-in type.
    ///
    /// # Panics
    /// When there is none of that name: a mistake of ours.
    pub(super) fn builtin(&self, group: &str, plural: &str) -> Arc<Kind> {
        let found = self.find(group, "v1", plural);
        found.unwrap_or_else(|| panic!("{plural} are no built-in type"))
    }

    /// The type of an object that says what it is.
    pub(super) fn of(&self, api_version: &str, kind: &str) -> Option<Arc<Kind>> {
        let all = self.all();
        let mut all = all.into_iter();
        all.find(|k| k.resource.kind == kind && k.resource.api_version() == api_version)
    }

    /// All types, by group and name.
    pub(super) fn all(&self) -> Vec<Arc<Kind>> {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        kinds.values().cloned().collect()
    }

    /// Whether a group has this version.
    pub(super) fn has_version(&self, group: &str, version: &str) -> bool {
        let mut all = self.all().into_iter();
        all.any(|kind| kind.resource.group == group && kind.resource.version == version)
    }

    /// Serves what these definitions say, and no other custom resources.
    pub(super) fn define(&self, definitions: impl Iterator<Item = Map<String, Value>>) {
        let custom: Vec<_> = definitions.flat_map(|object| defined(&object)).collect();
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        kinds.retain(|_, kind| !kind.is_custom());
        kinds.extend(custom.into_iter().map(entry));
    }
}

fn entry(kind: Kind) -> (Id, Arc<Kind>) {
    let resource = &kind.resource;
    let id = (
        resource.group.clone(),
        resource.version.clone(),
        resource.plural.clone(),
    );
    (id, Arc::new(kind))
}

/// The types of one definition: one for each version that is served.
fn defined(definition: &Map<String, Value>) -> Vec<Kind> {
    let Some(spec) = definition.get("spec") else {
        return Vec::new();
    };
    let versions = spec["versions"].as_array().into_iter().flatten();
    versions
        .filter(|version| version["served"] == true)
        .map(|version| custom(spec, version))
        .collect()
}

fn custom(spec: &Value, version: &Value) -> Kind {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().into_iter().flatten().map(text).collect();
    let names = &spec["names"];
    let kind = text(&names["kind"]);
    let extra = version["additionalPrinterColumns"].as_array();
    let mut columns = vec![Column::name()];
    match extra {
        Some(extra) => columns.extend(extra.iter().filter_map(column)),
        None => columns.push(Column::age()),
    }
    let scale = version.pointer("/subresources/scale").map(|scale| Scale {
        wanted: pointer(&scale["specReplicasPath"]),
        found: pointer(&scale["statusReplicasPath"]),
        selector: scale.get("labelSelectorPath").map(pointer),
    });
    let singular = names["singular"]
        .as_str()
        .map_or_else(|| kind.to_lowercase(), str::to_owned);
    Kind {
        resource: Arc::new(Resource {
            group: text(&spec["group"]),
            version: text(&version["name"]),
            plural: text(&names["plural"]),
            kind,
            namespaced: spec["scope"] == "Namespaced",
            fields: Vec::new(),
            columns,
            items_say_kind: true,
            blank: "",
        }),
        singular,
        short_names: list(&names["shortNames"]),
        categories: list(&names["categories"]),
        has_status: version.pointer("/subresources/status").is_some(),
        scale,
        counted: true,
        returns_deleted: false,
        shape: None,
    }
}

fn column(value: &Value) -> Option<Column> {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let priority = value["priority"].as_i64().unwrap_or_default();
    Some(Column {
        name: text("name"),
        kind: text("type"),
        format: text("format"),
        description: text("description"),
        priority: i32::try_from(priority).unwrap_or_default(),
        cell: Cell::Found(JsonPath::parse(&text("jsonPath"))?),
    })
}

fn pointer(path: &Value) -> String {
    path.as_str().unwrap_or_default().replace('.', "/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definition_adds_each_version_that_is_served_and_takes_it_away_again() {
        let registry = Registry::new();
        let definition = json!({ "spec": {
            "group": "ex.io", "scope": "Cluster",
            "names": { "plural": "foos", "kind": "Foo", "shortNames": ["fo"] },
            "versions": [
                { "name": "v1", "served": true, "subresources": { "status": {} } },
                { "name": "v2", "served": true, "additionalPrinterColumns": [
                    { "name": "Size", "type": "integer", "jsonPath": ".spec.size" },
                ] },
                { "name": "v0", "served": false },
            ],
        } });
        let Value::Object(definition) = definition else {
            panic!()
        };
        registry.define([definition].into_iter());
        let found = registry.find("ex.io", "v1", "foos").unwrap();
        assert!(found.has_status && found.is_custom() && !found.resource.namespaced);
        assert_eq!(found.singular, "foo");
        assert_eq!(
            registry
                .find("ex.io", "v2", "foos")
                .unwrap()
                .resource
                .columns
                .len(),
            2
        );
        assert!(registry.find("ex.io", "v0", "foos").is_none());
        assert!(registry.of("ex.io/v2", "Foo").is_some());
        registry.define(std::iter::empty());
        assert!(!registry.has_version("ex.io", "v1"));
        assert!(registry.find("", "v1", "pods").is_some());
    }
}
