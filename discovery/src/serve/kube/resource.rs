//! A resource type: how its objects are called, selected and shown.

use super::column::Column;

/// A type of objects that a server serves.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version, as `v1`.
    pub version: String,
    /// The name in paths, as `pods`.
    pub plural: String,
    /// The kind of one object, as `Pod`.
    pub kind: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Fields that a field selector may ask for, beside name and namespace.
    pub fields: Vec<Selectable>,
    /// How its objects are shown in a table.
    pub columns: Vec<Column>,
    /// Whether items of a list carry their kind and version: those of custom resources do.
    pub items_say_kind: bool,
    /// What kube-apiserver writes into a bookmark of this type behind the metadata: the empty
    /// fields of its Go type, as JSON members that begin with a comma.
    pub blank: &'static str,
}

/// A field that may be selected by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selectable {
    /// Its name in selectors, as `status.phase`.
    pub name: String,
    /// Where it is in the object, as a JSON pointer.
    pub pointer: String,
}

impl Resource {
    /// `v1`, or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `pods`, or `deployments.apps`: how messages name it.
    #[must_use]
    pub fn qualified(&self) -> String {
        match self.group.as_str() {
            "" => self.plural.clone(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// The path of the collection of all its objects.
    #[must_use]
    pub fn path(&self) -> String {
        match self.group.as_str() {
            "" => format!("/api/{}/{}", self.version, self.plural),
            group => format!("/apis/{group}/{}/{}", self.version, self.plural),
        }
    }
}

impl Selectable {
    /// A field whose place is what its name says.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            pointer: format!("/{}", name.replace('.', "/")),
        }
    }
}
