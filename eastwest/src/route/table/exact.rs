//! The routes of exact names, in a map whose copies share all that does not change: of a
//! table of thousands, a change copies the names of one shard.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use super::names::Chains;

type Shard = HashMap<Arc<str>, Chains>;

#[derive(Debug, Clone)]
pub(super) struct Exact {
    hasher: RandomState,
    shards: Box<[Arc<Shard>; SHARDS]>,
}

impl Default for Exact {
    fn default() -> Self {
        let empty = Arc::default();
        Self {
            hasher: RandomState::new(),
            shards: Box::new(std::array::from_fn(|_| Arc::clone(&empty))),
        }
    }
}

impl Exact {
    pub(super) fn get(&self, sni: &str) -> Option<&Chains> {
        self.shards[self.place(sni)].get(sni)
    }

    pub(super) fn get_mut(&mut self, sni: &Arc<str>) -> &mut Chains {
        let shard = Arc::make_mut(&mut self.shards[self.place(sni)]);
        shard.entry(Arc::clone(sni)).or_default()
    }

    pub(super) fn remove(&mut self, sni: &str) {
        let place = self.place(sni);
        if self.shards[place].contains_key(sni) {
            Arc::make_mut(&mut self.shards[place]).remove(sni);
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Chains> {
        self.shards.iter().flat_map(|shard| shard.values())
    }

    /// The names of which this has other routes than `other`.
    pub(super) fn differing<'e>(&'e self, other: &'e Self) -> impl Iterator<Item = &'e Arc<str>> {
        let pairs = self.shards.iter().zip(&other.shards[..]);
        let pairs = pairs.filter(|(own, others)| !Arc::ptr_eq(own, others));
        pairs.flat_map(move |(own, others)| {
            let changed = own.iter().filter(move |(name, chains)| {
                let before = other.get(name);
                before.is_none_or(|before| !before.is_same(chains))
            });
            let gone = others.keys().filter(|name| self.get(name).is_none());
            changed.map(|(name, _)| name).chain(gone)
        })
    }

    fn place(&self, sni: &str) -> usize {
        self.hasher.hash_one(sni) as usize % SHARDS
    }
}

/// At 5,000 names 80 are copied for a change, and there are few to copy without any.
const SHARDS: usize = 64;
