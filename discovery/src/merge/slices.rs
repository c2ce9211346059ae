//! The slices of one cluster, by the service that they belong to and the pods that they name.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
};

use super::shard::{Built, Ignored};
use crate::{
    model::{Endpoint, ServiceKey},
    remote::{
        project::{Backing, ObjectKey, SliceFact},
        watch::Revision,
    },
};

/// All slices, each with what it gives.
#[derive(Debug, Default)]
pub(super) struct Slices {
    all: HashMap<ObjectKey, Slice>,
    by_service: HashMap<ServiceKey, BTreeSet<ObjectKey>>,
    by_pod: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    ignored: BTreeMap<Ignored, usize>,
}

#[derive(Debug)]
struct Slice {
    fact: SliceFact,
    /// When its API server made it so.
    at: Revision,
    built: Built,
}

impl Slices {
    /// Stores a slice that has to be built anew. The services that it belonged to and belongs
    /// to, when it is another one now.
    pub(super) fn put(&mut self, key: ObjectKey, fact: SliceFact, at: Revision) -> Vec<ServiceKey> {
        if self.get(&key) == Some(&fact) {
            return Vec::new();
        }
        let mut touched: Vec<_> = self.remove(&key).into_iter().collect();
        let service = service_of(&key, &fact);
        let slices = self.by_service.entry(service.clone()).or_default();
        slices.insert(key.clone());
        for pod in pods_of(&key, &fact) {
            self.by_pod.entry(pod).or_default().insert(key.clone());
        }
        touched.push(service);
        let built = Built::default();
        self.all.insert(key, Slice { fact, at, built });
        touched
    }

    /// The service that it belonged to.
    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<ServiceKey> {
        let slice = self.all.remove(key)?;
        self.count_ignored(&slice.built, &Built::default());
        let service = service_of(key, &slice.fact);
        forget(&mut self.by_service, &service, key);
        for pod in pods_of(key, &slice.fact) {
            forget(&mut self.by_pod, &pod, key);
        }
        Some(service)
    }

    pub(super) fn get(&self, key: &ObjectKey) -> Option<&SliceFact> {
        self.all.get(key).map(|slice| &slice.fact)
    }

    /// Stores what a slice gives.
    pub(super) fn built(&mut self, key: &ObjectKey, built: Built) {
        if let Some(slice) = self.all.get_mut(key) {
            let old = std::mem::replace(&mut slice.built, built.clone());
            self.count_ignored(&old, &built);
        }
    }

    /// Those of a service.
    pub(super) fn of(&self, service: &ServiceKey) -> impl Iterator<Item = &ObjectKey> {
        self.by_service.get(service).into_iter().flatten()
    }

    /// Those that name a pod.
    pub(super) fn naming(&self, pod: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.by_pod.get(pod).into_iter().flatten()
    }

    /// What those of a service give.
    pub(super) fn endpoints(&self, service: &ServiceKey) -> impl Iterator<Item = &Arc<Endpoint>> {
        let slices = self.of(service).filter_map(|key| self.all.get(key));
        slices.flat_map(|slice| &slice.built.endpoints)
    }

    /// Whether those of a service name ready pods that are not known (at that address), of
    /// which pods as far as they are known cannot tell yet.
    ///
    /// Revisions of different kinds are compared: kinds of one API server share a store, and
    /// with it one sequence. Where they do not, the answer is that of one side, for good.
    pub(super) fn awaits_pods(&self, service: &ServiceKey, pods_at: Revision) -> bool {
        let mut slices = self.of(service).filter_map(|key| self.all.get(key));
        slices.any(|slice| slice.built.lacks_pods && slice.at > pods_at)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = ObjectKey> {
        self.all.keys().cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Entries that are not used, by reason.
    pub(super) fn ignored(&self) -> &BTreeMap<Ignored, usize> {
        &self.ignored
    }

    fn count_ignored(&mut self, old: &Built, new: &Built) {
        for reason in &new.ignored {
            *self.ignored.entry(*reason).or_default() += 1;
        }
        for reason in &old.ignored {
            let count = self.ignored.entry(*reason).or_default();
            *count = count.saturating_sub(1);
        }
    }
}

/// The service that a slice belongs to.
pub(super) fn service_of(slice: &ObjectKey, fact: &SliceFact) -> ServiceKey {
    ServiceKey {
        namespace: Arc::clone(&slice.namespace),
        name: Arc::clone(&fact.service),
    }
}

fn pods_of<'a>(slice: &'a ObjectKey, fact: &'a SliceFact) -> impl Iterator<Item = ObjectKey> + 'a {
    fact.endpoints
        .iter()
        .filter_map(|endpoint| match &endpoint.backing {
            Backing::Pod(name) => Some(ObjectKey {
                namespace: Arc::clone(&slice.namespace),
                name: Arc::clone(name),
            }),
            Backing::Elsewhere | Backing::Nothing => None,
        })
}

fn forget<K: Eq + Hash>(index: &mut HashMap<K, BTreeSet<ObjectKey>>, under: &K, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(under) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(under);
        }
    }
}
