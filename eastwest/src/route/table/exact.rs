//! The routes of exact names, in a map whose copies share all that does not change: of a
//! table of thousands, a change copies the names of one shard.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

// The standard library's map would hash a name twice: for its shard and in it.
use hashbrown::HashTable;

use super::chains::Chains;

#[derive(Debug, Clone)]
pub(super) struct Exact {
    hasher: RandomState,
    shards: Box<[Arc<Shard>; SHARDS]>,
}

type Shard = HashTable<(Arc<str>, Chains)>;

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
        let hash = self.hasher.hash_one(sni);
        let found = self.shards[place(hash)].find(hash, |(name, _)| **name == *sni);
        found.map(|(_, chains)| chains)
    }

    pub(super) fn get_mut(&mut self, sni: &Arc<str>) -> &mut Chains {
        let hash = self.hasher.hash_one(&**sni);
        let shard = Arc::make_mut(&mut self.shards[place(hash)]);
        let hasher = |(name, _): &(Arc<str>, Chains)| self.hasher.hash_one(&**name);
        let entry = shard.entry(hash, |(name, _)| name == sni, hasher);
        let new = || (Arc::clone(sni), Chains::default());
        &mut entry.or_insert_with(new).into_mut().1
    }

    pub(super) fn remove(&mut self, sni: &str) {
        if self.get(sni).is_none() {
            return;
        }
        let hash = self.hasher.hash_one(sni);
        let shard = Arc::make_mut(&mut self.shards[place(hash)]);
        if let Ok(entry) = shard.find_entry(hash, |(name, _)| **name == *sni) {
            entry.remove();
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Chains> {
        let all = self.shards.iter().flat_map(|shard| shard.iter());
        all.map(|(_, chains)| chains)
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
            let gone = others.iter().filter(|(name, _)| self.get(name).is_none());
            changed.chain(gone).map(|(name, _)| name)
        })
    }
}

/// From bits of a hash by which a shard does not place it.
fn place(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

/// At 5,000 names 80 are copied for a change, and there are few to copy without any.
const SHARDS: usize = 64;
