//! Everything that a control plane said and has not taken back, and the routes that
//! follow from it.
//!
//! Resources are compared by their bytes, and only those that differ are decoded; only
//! the routes that they touch are made anew. Outlives the streams: a new one is compared
//! with what is here.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    decode::{Unfit, assignment::Assignment, cluster::Cluster, listener::Listener, listener::MESH},
    session::{Kind, Update},
};
use crate::route::RouteSpec;

/// What is known of a control plane's resources.
#[derive(Debug, Default)]
pub struct Resources {
    clusters: Collection<Cluster>,
    listeners: Collection<Listener>,
    assignments: Collection<Assignment>,
    routes: HashMap<String, Arc<RouteSpec>>,
    /// Routes from before a restart, by server name; none once all was answered.
    remembered: HashMap<Arc<str>, Arc<RouteSpec>>,
}

/// What an [`Update`] came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether any route changed.
    pub changed: bool,
    /// Resources that could not be decoded, to be named in a NACK.
    pub refused: Vec<(String, String)>,
}

/// The resources of one kind.
#[derive(Debug)]
struct Collection<T> {
    /// Whether there was ever an answer.
    heard: bool,
    kept: HashMap<String, Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    bytes: Vec<u8>,
    value: Result<T, Unfit>,
}

/// The names that an update touched.
#[derive(Debug, Default)]
struct Touched {
    names: Vec<String>,
    refused: Vec<(String, String)>,
}

impl Resources {
    /// Nothing is known but these routes, from before a restart. Each stays until the
    /// control plane has said all about it, or that there is no such cluster.
    #[must_use]
    pub fn remembering(routes: impl IntoIterator<Item = Arc<RouteSpec>>) -> Self {
        let routes = routes.into_iter();
        Self {
            remembered: routes.map(|r| (Arc::clone(&r.sni), r)).collect(),
            ..Self::default()
        }
    }

    /// Whether the remembered routes still count.
    #[must_use]
    pub fn is_remembering(&self) -> bool {
        !self.remembered.is_empty()
    }

    /// Takes an update in.
    pub fn apply(&mut self, update: Update) -> Applied {
        let mut applied = self.take(update);
        if self.is_remembering() {
            applied.changed |= self.outgrow();
        }
        applied
    }

    fn take(&mut self, mut update: Update) -> Applied {
        match update.kind {
            Kind::Cluster => {
                let touched = self.clusters.apply(update, Cluster::decode);
                let changed = self.remake(&touched.names);
                self.forget_assignments();
                Applied {
                    changed,
                    refused: touched.refused,
                }
            }
            Kind::Assignment => {
                update.resources.retain(|(name, _)| self.is_wanted(name));
                let touched = self.assignments.apply(update, Assignment::decode);
                let names = self.clusters_of(&touched.names);
                Applied {
                    changed: self.remake(&names),
                    refused: touched.refused,
                }
            }
            Kind::Listener => {
                let touched = self.listeners.apply(update, Listener::decode);
                let all: Vec<String> = match touched.names.is_empty() {
                    true => Vec::new(),
                    false => self.clusters.kept.keys().cloned().collect(),
                };
                Applied {
                    changed: self.remake(&all),
                    refused: touched.refused,
                }
            }
        }
    }

    /// The assignments to ask for: those of the clusters that are understood.
    #[must_use]
    pub fn wanted(&self) -> BTreeSet<String> {
        let good = self.clusters.good();
        good.map(|(_, cluster)| cluster.assignment.clone())
            .collect()
    }

    /// The routes, complete.
    pub fn routes(&self) -> impl Iterator<Item = Arc<RouteSpec>> {
        let told = self.routes.values();
        let told = told.filter(|route| !self.remembered.contains_key(&route.sni));
        told.chain(self.remembered.values()).cloned()
    }

    /// Whether every question was answered at least once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let known = |cluster: &Cluster| self.assignments.kept.contains_key(&cluster.assignment);
        self.clusters.heard
            && self.listeners.heard
            && self.clusters.good().all(|(_, cluster)| known(cluster))
    }

    /// What is kept but has no effect, with the reason.
    pub fn quarantined(&self) -> impl Iterator<Item = ((Kind, String), String)> {
        let clusters = self
            .clusters
            .bad()
            .map(|(n, why)| ((Kind::Cluster, n), why));
        let listeners = self
            .listeners
            .bad()
            .map(|(n, why)| ((Kind::Listener, n), why));
        let left_out = self.assignments.good().filter_map(|(name, assignment)| {
            let why = format!(
                "{} endpoints without tlsMode istio or an IP address",
                assignment.left_out
            );
            (assignment.left_out > 0).then(|| ((Kind::Assignment, name.clone()), why))
        });
        clusters.chain(listeners).chain(left_out)
    }

    /// Drops the remembered routes of which the control plane has said all, or has said
    /// that there is no such cluster or no door; says whether there was any.
    fn outgrow(&mut self) -> bool {
        if !self.clusters.heard {
            return false;
        }
        let door = self.listeners.get(MESH).is_some();
        let waits = |cluster: &Cluster| match self.listeners.heard {
            true => door && !self.assignments.kept.contains_key(&cluster.assignment),
            false => true,
        };
        let open = self.clusters.good();
        let open: BTreeSet<String> = open
            .filter(|(_, cluster)| waits(cluster))
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        let before = self.remembered.len();
        self.remembered.retain(|sni, _| open.contains(&**sni));
        self.remembered.len() != before
    }

    /// Makes the routes of these clusters anew; says whether any differs.
    fn remake(&mut self, clusters: &[String]) -> bool {
        let mut changed = false;
        for name in clusters {
            let next = self.route(name);
            let now = self.routes.get(name).map(AsRef::as_ref);
            if now == next.as_ref() {
                continue;
            }
            changed = true;
            match next {
                Some(route) => self.routes.insert(name.clone(), Arc::new(route)),
                None => self.routes.remove(name),
            };
        }
        changed
    }

    /// The route that a cluster makes: none without an understood cluster and a door.
    fn route(&self, name: &str) -> Option<RouteSpec> {
        let cluster = self.clusters.get(name)?;
        let door = self.listeners.get(MESH)?;
        let assignment = self.assignments.get(&cluster.assignment);
        Some(RouteSpec {
            sni: name.to_ascii_lowercase().into(),
            alpn: Arc::clone(&door.alpn),
            service: cluster.service.clone(),
            connect_timeout: cluster.connect_timeout,
            endpoints: assignment.map_or_else(Vec::new, |a| a.endpoints.clone()),
        })
    }

    /// Whether a cluster has this assignment; the answer to a question that was taken
    /// back may still come.
    fn is_wanted(&self, assignment: &str) -> bool {
        let own = self.clusters.get(assignment);
        own.is_some_and(|cluster| cluster.assignment == assignment)
            || self
                .clusters
                .good()
                .any(|(_, c)| c.assignment == assignment)
    }

    /// The clusters that have one of these assignments; the two names differ only where
    /// a cluster says so.
    fn clusters_of(&self, assignments: &[String]) -> Vec<String> {
        let same = |name: &String| {
            let cluster = self.clusters.get(name);
            cluster.is_some_and(|cluster| cluster.assignment == *name)
        };
        if assignments.iter().all(same) {
            return assignments.to_vec();
        }
        let touched = self.clusters.good();
        touched
            .filter(|(_, cluster)| assignments.contains(&cluster.assignment))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Nobody says that an assignment is gone: it goes with the last cluster that has it.
    fn forget_assignments(&mut self) {
        let wanted = self.wanted();
        self.assignments
            .kept
            .retain(|name, _| wanted.contains(name));
    }
}

impl<T> Collection<T> {
    fn apply(&mut self, update: Update, decode: fn(&[u8]) -> Result<T, Unfit>) -> Touched {
        self.heard = true;
        let mut touched = Touched::default();
        let named: BTreeSet<&String> = update.resources.iter().map(|(name, _)| name).collect();
        let gone = |name: &&String| update.whole && !named.contains(*name);
        let vanished: Vec<String> = self.kept.keys().filter(gone).cloned().collect();
        for name in update.removed.into_iter().chain(vanished) {
            if self.kept.remove(&name).is_some() {
                touched.names.push(name);
            }
        }
        for (name, bytes) in update.resources {
            self.keep(name, bytes, decode, &mut touched);
        }
        touched
    }

    fn keep(
        &mut self,
        name: String,
        bytes: Vec<u8>,
        decode: fn(&[u8]) -> Result<T, Unfit>,
        touched: &mut Touched,
    ) {
        if self.kept.get(&name).is_some_and(|kept| kept.bytes == bytes) {
            return;
        }
        let value = match decode(&bytes) {
            Err(Unfit::Undecodable(why)) => return touched.refused.push((name, why)),
            value => value,
        };
        touched.names.push(name.clone());
        self.kept.insert(name, Kept { bytes, value });
    }

    fn get(&self, name: &str) -> Option<&T> {
        self.kept.get(name)?.value.as_ref().ok()
    }

    fn good(&self) -> impl Iterator<Item = (&String, &T)> {
        let kept = self.kept.iter();
        kept.filter_map(|(name, kept)| Some((name, kept.value.as_ref().ok()?)))
    }

    fn bad(&self) -> impl Iterator<Item = (String, String)> {
        let bad = |(name, kept): (&String, &Kept<T>)| {
            let why = kept.value.as_ref().err()?;
            Some((name.clone(), why.to_string()))
        };
        self.kept.iter().filter_map(bad)
    }
}

impl<T> Default for Collection<T> {
    fn default() -> Self {
        Self {
            heard: false,
            kept: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests;
