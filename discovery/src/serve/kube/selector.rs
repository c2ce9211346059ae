//! Which objects of a collection a reader asks for.

pub mod fields;
pub mod labels;

pub use fields::FieldSelector;
pub use labels::LabelSelector;

use super::{item::Item, resource::Resource};

/// A place, labels and fields: an object must have all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// Only of this namespace.
    pub namespace: Option<String>,
    /// Only with such labels.
    pub labels: LabelSelector,
    /// Only with such fields.
    pub fields: FieldSelector,
}

impl Selector {
    /// Whether `item` is asked for.
    #[must_use]
    pub fn matches(&self, resource: &Resource, item: &Item) -> bool {
        let namespace = self.namespace.as_deref();
        namespace.is_none_or(|namespace| namespace == item.namespace())
            && self.labels.matches(|name| item.label(name))
            && self.fields.matches(|name| item.field(resource, name))
    }

    /// Whether it asks for more than a place.
    #[must_use]
    pub fn selects(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }
}
