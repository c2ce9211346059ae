//! A map by name of which two states share what they have in common: taking a copy costs
//! little, changing one entry copies one bucket, and comparing two states costs what
//! differs.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// The map. Clones share every bucket until one of them is changed.
#[derive(Debug, Clone)]
pub struct Buckets<V>(Arc<Vec<Bucket<V>>>);

type Bucket<V> = Arc<BTreeMap<Arc<str>, V>>;

impl<V: Clone + PartialEq> Buckets<V> {
    /// What is under `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        self.0[index(name)].get(name)
    }

    /// Puts `value` under `name`. Where the same is there already nothing changes.
    pub fn put(&mut self, name: &Arc<str>, value: V) {
        if self.get(name) != Some(&value) {
            self.bucket(name).insert(Arc::clone(name), value);
        }
    }

    /// Takes out what is under `name`.
    pub fn remove(&mut self, name: &str) {
        if self.get(name).is_some() {
            self.bucket(name).remove(name);
        }
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.0.iter().flat_map(|bucket| bucket.iter())
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|bucket| bucket.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bucket| bucket.is_empty())
    }

    /// The names whose entries differ from those of `old`: new, changed or gone.
    #[must_use]
    pub fn changed(&self, old: &Self) -> BTreeSet<Arc<str>> {
        let mut names = BTreeSet::new();
        if Arc::ptr_eq(&self.0, &old.0) {
            return names;
        }
        for (new, old) in self.0.iter().zip(old.0.iter()) {
            if Arc::ptr_eq(new, old) {
                continue;
            }
            let differs = |(name, value): &(&Arc<str>, &V)| old.get(*name) != Some(value);
            let changed = new.iter().filter(differs).map(|(name, _)| name);
            let gone = old.keys().filter(|name| !new.contains_key(*name));
            names.extend(changed.chain(gone).map(Arc::clone));
        }
        names
    }

    fn bucket(&mut self, name: &str) -> &mut BTreeMap<Arc<str>, V> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.0)[index(name)])
    }
}

impl<V> Default for Buckets<V> {
    fn default() -> Self {
        Self(Arc::new((0..COUNT).map(|_| Arc::default()).collect()))
    }
}

fn index(name: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    // The remainder is below COUNT.
    (hasher.finish() % COUNT as u64) as usize
}

/// With 10,000 entries a change copies some forty.
const COUNT: usize = 256;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_and_knows_what_changed(
            before in proptest::collection::btree_map("[a-c]{1,3}", 0_u8..3, 0..30),
            after in proptest::collection::btree_map("[a-c]{1,3}", 0_u8..3, 0..30),
        ) {
            let mut old = Buckets::default();
            for (name, value) in &before {
                old.put(&Arc::from(name.as_str()), *value);
            }
            let mut new = old.clone();
            for name in before.keys().filter(|name| !after.contains_key(*name)) {
                new.remove(name);
            }
            for (name, value) in &after {
                new.put(&Arc::from(name.as_str()), *value);
            }
            let seen: BTreeMap<_, _> = new.iter().map(|(n, v)| (n.to_string(), *v)).collect();
            prop_assert_eq!(&seen, &after);
            prop_assert_eq!(new.len(), after.len());
            let names = before.keys().chain(after.keys());
            let expected: BTreeSet<_> = names
                .filter(|name| before.get(*name) != after.get(*name))
                .map(|name| Arc::from(name.as_str()))
                .collect();
            prop_assert_eq!(new.changed(&old), expected);
        }
    }

    #[test]
    fn a_copy_is_not_changed_with_the_original() {
        let mut one = Buckets::default();
        one.put(&Arc::from("a"), 1);
        let copy = one.clone();
        one.put(&Arc::from("a"), 2);
        assert_eq!((one.get("a"), copy.get("a")), (Some(&2), Some(&1)));
    }
}
