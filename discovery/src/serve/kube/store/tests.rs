//! A store for tests: the whole history in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Expired, History, Store, View};
use crate::serve::kube::{
    column::Column,
    item::{Change, Item},
    resource::{Resource, Selectable},
};

/// Keeps objects of one type.
pub(crate) struct Memory {
    kept: Mutex<Kept>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    version: u64,
    oldest: u64,
    items: BTreeMap<String, Arc<Item>>,
    changes: Vec<Change>,
}

/// Pods, as far as tests care.
pub(crate) fn pods() -> Resource {
    Resource {
        group: String::new(),
        version: "v1".into(),
        plural: "pods".into(),
        kind: "Pod".into(),
        namespaced: true,
        fields: vec![Selectable::plain("status.phase")],
        columns: vec![Column::name(), Column::age()],
        items_say_kind: false,
        blank: r#","spec":{"containers":null},"status":{}"#,
    }
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            kept: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// Creates or replaces a pod.
    pub(crate) fn put(&self, name: &str, app: &str, phase: &str) {
        let object = json!({
            "metadata": { "namespace": "a", "name": name, "labels": { "app": app } },
            "status": { "phase": phase },
        });
        let Value::Object(object) = object else {
            unreachable!()
        };
        let mut kept = self.kept.lock().unwrap();
        kept.version += 1;
        let after = Arc::new(Item::new(&pods(), object, kept.version));
        let before = kept
            .items
            .insert(after.key().to_owned(), Arc::clone(&after));
        self.log(&mut kept, before, Some(after));
    }

    /// Deletes a pod, if it is there.
    pub(crate) fn remove(&self, name: &str) {
        let mut kept = self.kept.lock().unwrap();
        if let Some(before) = kept.items.remove(&format!("a/{name}")) {
            kept.version += 1;
            self.log(&mut kept, Some(before), None);
        }
    }

    /// Something of another type happens.
    pub(crate) fn pass(&self) {
        self.kept.lock().unwrap().version += 1;
    }

    /// Forgets what was before now.
    pub(crate) fn compact(&self) {
        let mut kept = self.kept.lock().unwrap();
        kept.oldest = kept.version;
    }

    fn log(&self, kept: &mut Kept, before: Option<Arc<Item>>, after: Option<Arc<Item>>) {
        let version = kept.version;
        kept.changes.push(Change {
            version,
            before,
            after,
        });
        self.changed.send_replace(version);
    }
}

impl Store for Memory {
    fn view(&self, resource: &Resource, since: Option<u64>) -> Result<View, Expired> {
        let changes = match since {
            Some(since) if since < self.oldest(resource) => {
                return Err(Expired {
                    oldest: self.oldest(resource),
                });
            }
            Some(since) => self.history(resource, since)?.changes,
            None => Vec::new(),
        };
        let kept = self.kept.lock().unwrap();
        Ok(View {
            version: kept.version,
            items: kept.items.values().cloned().collect(),
            changes,
        })
    }

    fn oldest(&self, _: &Resource) -> u64 {
        self.kept.lock().unwrap().oldest
    }

    fn history(&self, _: &Resource, since: u64) -> Result<History, Expired> {
        let kept = self.kept.lock().unwrap();
        let new = kept.changes.iter().filter(|change| change.version > since);
        Ok(History {
            version: kept.version,
            changes: new.cloned().collect(),
        })
    }

    fn get(&self, _: &Resource, key: &str) -> Option<Arc<Item>> {
        self.kept.lock().unwrap().items.get(key).cloned()
    }

    fn version(&self) -> u64 {
        self.kept.lock().unwrap().version
    }

    fn changes(&self, _: &Resource) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
