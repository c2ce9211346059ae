//! Everything that discovery said and has not taken back. Pure.
//!
//! Outlives the streams: a new one begins with the versions of what is here. A resource that
//! is refused changes nothing: the one of before stays.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    resource::{Assignment, Cluster, Listener, Routes, Unfit, cluster::Source},
    session::{EVERYTHING, Kind, Update},
};

/// What is known, by kind and name.
#[derive(Debug, Default)]
pub struct Known {
    /// Clusters.
    pub clusters: Collection<Cluster>,
    /// Assignments that clusters ask for.
    pub assignments: Collection<Assignment>,
    /// Listeners.
    pub listeners: Collection<Listener>,
    /// Routes that listeners ask for.
    pub routes: Collection<Routes>,
    refused: BTreeMap<(Kind, String), Unfit>,
}

/// The resources of one kind.
#[derive(Debug)]
pub struct Collection<T> {
    heard: bool,
    kept: BTreeMap<String, Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    version: String,
    value: Arc<T>,
}

impl Known {
    /// Takes an update in; returns what was refused, each with its reason.
    pub fn apply(&mut self, update: Update) -> Vec<String> {
        let kind = update.kind;
        for name in &update.removed {
            self.refused.remove(&(kind, name.clone()));
        }
        for resource in &update.resources {
            self.refused.remove(&(kind, resource.name.clone()));
        }
        let refused = match kind {
            Kind::Cluster => self.clusters.apply(update, Cluster::decode),
            Kind::Listener => self.listeners.apply(update, Listener::decode),
            // What others refer to goes with the last that does, not before.
            Kind::Assignment => {
                let wanted = self.wanted(kind);
                self.assignments
                    .apply(update.of(&wanted), Assignment::decode)
            }
            Kind::Route => {
                let wanted = self.wanted(kind);
                self.routes.apply(update.of(&wanted), Routes::decode)
            }
        };
        let told = refused.iter().map(|(name, why)| format!("{name}: {why}"));
        let told = told.collect();
        let refused = refused.into_iter();
        self.refused
            .extend(refused.map(|(name, why)| ((kind, name), why)));
        self.forget();
        told
    }

    /// The names of a kind to subscribe to.
    #[must_use]
    pub fn wanted(&self, kind: Kind) -> BTreeSet<String> {
        match kind {
            Kind::Cluster | Kind::Listener => [EVERYTHING.to_owned()].into(),
            Kind::Assignment => {
                let clusters = self.clusters.iter();
                let assigned = clusters.filter_map(|(_, cluster)| match &cluster.source {
                    Source::Assigned(name) => Some(name.clone()),
                    Source::Fixed(_) => None,
                });
                assigned.collect()
            }
            Kind::Route => {
                let listeners = self.listeners.iter();
                let named = listeners.filter_map(|(_, listener)| listener.routes());
                named.map(str::to_owned).collect()
            }
        }
    }

    /// The versions of what is known of a kind.
    #[must_use]
    pub fn versions(&self, kind: Kind) -> HashMap<String, String> {
        match kind {
            Kind::Cluster => self.clusters.versions(),
            Kind::Assignment => self.assignments.versions(),
            Kind::Listener => self.listeners.versions(),
            Kind::Route => self.routes.versions(),
        }
    }

    /// Whether discovery has answered all that follows from what it said.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let has = |kind| {
            let (wanted, versions) = (self.wanted(kind), self.versions(kind));
            let refused = |name: &String| self.refused.contains_key(&(kind, name.clone()));
            let mut wanted = wanted.iter();
            wanted.all(|name| versions.contains_key(name) || refused(name))
        };
        self.clusters.heard && self.listeners.heard && has(Kind::Assignment) && has(Kind::Route)
    }

    /// What was refused and not replaced since, with the reason.
    #[must_use]
    pub fn refused(&self) -> &BTreeMap<(Kind, String), Unfit> {
        &self.refused
    }

    fn forget(&mut self) {
        let (assignments, routes) = (self.wanted(Kind::Assignment), self.wanted(Kind::Route));
        let known = |name: &String| assignments.contains(name);
        self.assignments.kept.retain(|name, _| known(name));
        self.routes.kept.retain(|name, _| routes.contains(name));
        self.refused.retain(|(kind, name), _| match kind {
            Kind::Assignment => known(name),
            Kind::Route => routes.contains(name),
            Kind::Cluster | Kind::Listener => true,
        });
    }
}

impl<T> Collection<T> {
    /// The one of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<T>> {
        self.kept.get(name).map(|kept| &kept.value)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Arc<T>)> {
        self.kept.iter().map(|(name, kept)| (name, &kept.value))
    }

    fn versions(&self) -> HashMap<String, String> {
        let version = |(name, kept): (&String, &Kept<T>)| (name.clone(), kept.version.clone());
        self.kept.iter().map(version).collect()
    }

    fn apply(
        &mut self,
        update: Update,
        decode: fn(&[u8]) -> Result<T, Unfit>,
    ) -> Vec<(String, Unfit)> {
        self.heard = true;
        for name in update.removed {
            self.kept.remove(&name);
        }
        let mut refused = Vec::new();
        for resource in update.resources {
            match decode(&resource.bytes) {
                Ok(value) => {
                    let (version, value) = (resource.version, Arc::new(value));
                    self.kept.insert(resource.name, Kept { version, value });
                }
                Err(why) => refused.push((resource.name, why)),
            }
        }
        refused
    }
}

impl<T> Default for Collection<T> {
    fn default() -> Self {
        Self {
            heard: false,
            kept: BTreeMap::new(),
        }
    }
}

impl Update {
    /// What of it is about these names and not about their end.
    fn of(mut self, wanted: &BTreeSet<String>) -> Self {
        self.removed.clear();
        self.resources
            .retain(|resource| wanted.contains(&resource.name));
        self
    }
}

#[cfg(test)]
mod against_discovery;
#[cfg(test)]
mod tests;
