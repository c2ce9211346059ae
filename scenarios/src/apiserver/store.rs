//! Where objects are kept: in memory, with a piece of their history.
//!
//! One counter of versions for all types; each change makes one. Everything that reads and
//! writes at once does so under one lock, which is never held over an await.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use discovery::serve::kube::{
    Change, Expired, Item, Resource, Status, Store,
    store::{History, View},
};
use serde_json::{Map, Value};
use tokio::sync::watch;

/// Objects of all types.
#[derive(Debug)]
pub(super) struct Memory {
    kept: Mutex<Kept>,
    /// Changes with each change of any object.
    changed: watch::Sender<u64>,
    /// How many changes of a type are remembered.
    history: usize,
}

#[derive(Debug, Default)]
struct Kept {
    version: u64,
    /// The last compaction.
    oldest: u64,
    shelves: HashMap<String, Shelf>,
}

/// Objects of one type, whatever version of it is asked for.
#[derive(Debug)]
struct Shelf {
    items: BTreeMap<Box<str>, Arc<Item>>,
    changes: VecDeque<Change>,
    /// What happened up to this version is forgotten, for all that do not run yet.
    oldest: u64,
    /// What happened up to this version is forgotten for all.
    dropped: u64,
    changed: watch::Sender<u64>,
}

/// What becomes of an object.
#[derive(Debug)]
pub(super) enum Fate {
    /// It stays as it is.
    Same,
    /// It becomes this.
    Becomes(Map<String, Value>),
    /// It goes, and this is how it was last.
    Goes(Map<String, Value>),
}

impl Memory {
    /// An empty store that remembers `history` changes of each type.
    pub(super) fn new(history: usize) -> Self {
        Self {
            kept: Mutex::default(),
            changed: watch::Sender::new(0),
            history,
        }
    }

    /// Creates an object.
    ///
    /// # Errors
    /// When there is one of its name.
    pub(super) fn create(
        &self,
        resource: &Resource,
        object: Map<String, Value>,
    ) -> Result<Arc<Item>, Status> {
        let mut kept = self.lock();
        let version = kept.version + 1;
        let item = Arc::new(Item::new(resource, object, version));
        let shelf = kept.shelf(resource);
        if shelf.items.contains_key(item.key()) {
            return Err(exists(resource, item.name()));
        }
        self.commit(kept, resource, None, Some(Arc::clone(&item)));
        Ok(item)
    }

    /// Decides what becomes of an object, and does it, in one step.
    ///
    /// # Errors
    /// When it is not there, or `decide` refuses.
    pub(super) fn change(
        &self,
        resource: &Resource,
        key: &str,
        decide: impl FnOnce(&Item) -> Result<Fate, Status>,
    ) -> Result<Arc<Item>, Status> {
        let mut kept = self.lock();
        let version = kept.version + 1;
        let shelf = kept.shelf(resource);
        let name = key.rsplit('/').next().unwrap_or_default();
        let found = shelf.items.get(key).cloned();
        let before = found.ok_or_else(|| Status::not_found(resource, name))?;
        match decide(&before)? {
            Fate::Same => Ok(before),
            Fate::Becomes(object) => {
                let after = Arc::new(Item::new(resource, object, version));
                if *after.body() == *before.at(resource, version).body() {
                    return Ok(before);
                }
                self.commit(kept, resource, Some(before), Some(Arc::clone(&after)));
                Ok(after)
            }
            Fate::Goes(object) => {
                let last = Item::new(resource, object, version);
                self.commit(kept, resource, Some(before), None);
                Ok(Arc::new(last))
            }
        }
    }

    /// Forgets history, as an API server that was started again: who asks for the past is
    /// answered 410, and watches that run go on.
    pub(super) fn compact(&self) {
        let mut kept = self.lock();
        // So that even who knows the last change finds it forgotten.
        kept.version += 1;
        kept.oldest = kept.version;
        let version = kept.version;
        for shelf in kept.shelves.values_mut() {
            shelf.oldest = version;
        }
    }

    /// Forgets everything: versions begin anew.
    pub(super) fn clear(&self) {
        let mut kept = self.lock();
        (kept.version, kept.oldest) = (0, 0);
        for shelf in kept.shelves.values_mut() {
            shelf.items.clear();
            shelf.changes.clear();
            (shelf.oldest, shelf.dropped) = (0, 0);
            shelf.changed.send_modify(|count| *count += 1);
        }
        self.changed.send_modify(|count| *count += 1);
    }

    /// Changes with each change of any object.
    pub(super) fn any_change(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// All objects of a type, in order.
    pub(super) fn all(&self, resource: &Resource) -> Vec<Arc<Item>> {
        self.lock()
            .shelf(resource)
            .items
            .values()
            .cloned()
            .collect()
    }

    /// How many objects of a type there are.
    pub(super) fn count(&self, resource: &Resource) -> usize {
        self.lock().shelf(resource).items.len()
    }

    /// Puts a change into the books and tells of it.
    fn commit(
        &self,
        mut kept: MutexGuard<'_, Kept>,
        resource: &Resource,
        before: Option<Arc<Item>>,
        after: Option<Arc<Item>>,
    ) {
        kept.version += 1;
        let version = kept.version;
        let history = self.history;
        let shelf = kept.shelf(resource);
        match (&before, &after) {
            (_, Some(after)) => {
                shelf.items.insert(after.key().into(), Arc::clone(after));
            }
            (Some(before), None) => {
                shelf.items.remove(before.key());
            }
            (None, None) => {}
        }
        shelf.changes.push_back(Change {
            version,
            before,
            after,
        });
        while shelf.changes.len() > history {
            if let Some(forgotten) = shelf.changes.pop_front() {
                shelf.dropped = forgotten.version;
                shelf.oldest = shelf.oldest.max(forgotten.version);
            }
        }
        shelf.changed.send_modify(|count| *count += 1);
        self.changed.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn view(&self, resource: &Resource, since: Option<u64>) -> Result<View, Expired> {
        let mut kept = self.lock();
        let version = kept.version;
        let shelf = kept.shelf(resource);
        let changes = match since {
            Some(since) if since < shelf.oldest => {
                return Err(Expired {
                    oldest: shelf.oldest,
                });
            }
            Some(since) => shelf.since(since)?,
            None => Vec::new(),
        };
        Ok(View {
            version,
            items: shelf.items.values().cloned().collect(),
            changes,
        })
    }

    fn oldest(&self, resource: &Resource) -> u64 {
        self.lock().shelf(resource).oldest
    }

    fn history(&self, resource: &Resource, since: u64) -> Result<History, Expired> {
        let mut kept = self.lock();
        let version = kept.version;
        let changes = kept.shelf(resource).since(since)?;
        Ok(History { version, changes })
    }

    fn get(&self, resource: &Resource, key: &str) -> Option<Arc<Item>> {
        self.lock().shelf(resource).items.get(key).cloned()
    }

    fn version(&self) -> u64 {
        self.lock().version
    }

    fn changes(&self, resource: &Resource) -> watch::Receiver<u64> {
        self.lock().shelf(resource).changed.subscribe()
    }
}

impl Kept {
    fn shelf(&mut self, resource: &Resource) -> &mut Shelf {
        let oldest = self.oldest;
        self.shelves
            .entry(resource.qualified())
            .or_insert_with(|| Shelf {
                items: BTreeMap::new(),
                changes: VecDeque::new(),
                oldest,
                dropped: 0,
                changed: watch::Sender::new(0),
            })
    }
}

impl Shelf {
    fn since(&self, since: u64) -> Result<Vec<Change>, Expired> {
        if since < self.dropped {
            return Err(Expired {
                oldest: self.dropped,
            });
        }
        let start = self
            .changes
            .partition_point(|change| change.version <= since);
        Ok(self.changes.range(start..).cloned().collect())
    }
}

fn exists(resource: &Resource, name: &str) -> Status {
    let message = format!("{} \"{name}\" already exists", resource.qualified());
    Status::failure(409, "AlreadyExists", message)
        .with(discovery::serve::kube::status::Details::of(resource, name))
}

#[cfg(test)]
mod tests;
