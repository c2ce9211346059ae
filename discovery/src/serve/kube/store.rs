//! What the core asks of whoever keeps the objects.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    item::{Change, Item},
    resource::Resource,
};

/// Keeps objects and a piece of their history. Versions are shared by all types and only grow.
pub trait Store: Send + Sync + 'static {
    /// All objects of a type now, in the order of their keys, and what happened after `since`,
    /// in the same moment.
    ///
    /// # Errors
    /// [`Expired`] when the history no longer reaches back to `since`.
    fn view(&self, resource: &Resource, since: Option<u64>) -> Result<View, Expired>;

    /// The oldest version behind which a watch of this type may begin. Those that run may know
    /// of an older one still.
    fn oldest(&self, resource: &Resource) -> u64;

    /// What happened to objects of a type after `since`.
    ///
    /// # Errors
    /// [`Expired`] when the history no longer reaches back to `since`.
    fn history(&self, resource: &Resource, since: u64) -> Result<History, Expired>;

    /// The object of this key now.
    fn get(&self, resource: &Resource, key: &str) -> Option<Arc<Item>>;

    /// The version of the last change, of any type.
    fn version(&self) -> u64;

    /// Changes with each change of an object of this type, and when all of them are others.
    fn changes(&self, resource: &Resource) -> watch::Receiver<u64>;
}

/// The objects of a type at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The version of the last change of any type.
    pub version: u64,
    /// The objects, in the order of their keys.
    pub items: Vec<Arc<Item>>,
    /// What happened since the version that was asked for.
    pub changes: Vec<Change>,
}

/// A piece of a type's history.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The version of the last change of any type: nothing else happened up to it.
    pub version: u64,
    /// What happened, in order.
    pub changes: Vec<Change>,
}

/// The history that was asked for is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// The oldest version from which it can still be told.
    pub oldest: u64,
}

#[cfg(test)]
pub(crate) mod tests;
