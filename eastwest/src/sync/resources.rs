//! Everything that a control plane said and has not taken back, and the routes that
//! follow from it.
//!
//! Resources are compared by their bytes, and only those that differ are decoded; only
//! the routes that they touch are made anew. Outlives the streams: a new one is compared
//! with what is here.

mod chains;
mod collection;
mod compose;
mod remembered;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use self::{
    chains::{Chains, Entry, Id},
    collection::Collection,
    compose::flaw,
    remembered::{Remembered, Said, serves},
};
use super::{
    decode::{
        assignment::{Assignment, Endpoint},
        cluster::Cluster,
    },
    session::{Kind, Update},
};
use crate::{listener::ListenerSpec, route::RouteSpec};

/// What is known of a control plane's resources.
#[derive(Debug)]
pub struct Resources {
    stream: Stream,
    clusters: Collection<Cluster>,
    chains: Chains,
    assignments: Collection<Assignment>,
    routes: HashMap<Id, Vec<Arc<RouteSpec>>>,
    remembered: Remembered,
    /// Whether a stream is believed only once it is settled.
    doubt: bool,
    /// Every listener that a route may name.
    listeners: BTreeMap<Arc<str>, ListenerSpec>,
}

/// The number of a stream.
type Stream = u32;

/// What an [`Update`] came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether any route changed.
    pub changed: bool,
    /// Resources that could not be decoded, to be named in a NACK.
    pub refused: Vec<(String, String)>,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            stream: 0,
            clusters: Collection::new(Cluster::decode),
            chains: Chains::default(),
            assignments: Collection::new(Assignment::decode),
            routes: HashMap::new(),
            remembered: Remembered::default(),
            doubt: false,
            listeners: BTreeMap::new(),
        }
    }
}

impl Resources {
    /// Nothing is known but these routes and listeners, from before a restart. Each route
    /// stays until the control plane has said all about it, or that there is none.
    #[must_use]
    pub fn remembering(
        routes: impl IntoIterator<Item = Arc<RouteSpec>>,
        listeners: impl IntoIterator<Item = ListenerSpec>,
    ) -> Self {
        let listeners = listeners.into_iter();
        Self {
            remembered: Remembered::new(routes),
            listeners: listeners.map(|l| (Arc::clone(&l.name), l)).collect(),
            ..Self::default()
        }
    }

    /// A stream begins that is not believed at once: until [`Resources::settle`], a route
    /// that has endpoints stays as it is while this stream has none for it.
    pub fn doubt(&mut self) {
        self.remembered = Remembered::new(self.routes());
        self.doubt = true;
        self.stream += 1;
    }

    /// From now on the stream is believed; says whether any route changed.
    pub fn settle(&mut self) -> bool {
        self.doubt = false;
        self.outgrow()
    }

    /// Whether the remembered routes still count.
    #[must_use]
    pub fn is_remembering(&self) -> bool {
        !self.remembered.is_empty()
    }

    /// How many do.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.remembered.len()
    }

    /// Takes an update in.
    pub fn apply(&mut self, update: Update) -> Applied {
        let mut applied = self.take(update);
        applied.changed |= self.outgrow();
        applied
    }

    fn take(&mut self, mut update: Update) -> Applied {
        let stream = self.stream;
        match update.kind {
            Kind::Cluster => {
                let touched = self.clusters.apply(update, stream, is_plain);
                let mut ids = self.chains.follow(&touched.names, &self.clusters);
                let users = touched.names.iter().map(|name| self.chains.users(name));
                ids.extend(users.flatten());
                self.forget_assignments();
                Applied {
                    changed: self.remake(ids),
                    refused: touched.refused,
                }
            }
            Kind::Assignment => {
                // The answer to a question that was taken back may still come.
                update.resources.retain(|(name, _)| self.is_wanted(name));
                let touched = self.assignments.apply(update, stream, |_| false);
                let ids = self.leading_to(&touched.names);
                Applied {
                    changed: self.remake(ids),
                    refused: touched.refused,
                }
            }
            Kind::Listener => {
                let touched = self.chains.apply(update, stream, &self.clusters);
                let told = self.chains.listeners().cloned();
                let told = told.map(|spec| (Arc::clone(&spec.name), spec));
                self.listeners.extend(told);
                self.forget_assignments();
                Applied {
                    changed: self.remake(touched.changed),
                    refused: touched.refused,
                }
            }
        }
    }

    /// The assignments to ask for: those of the clusters that a chain leads to.
    #[must_use]
    pub fn wanted(&self) -> BTreeSet<String> {
        let used = self.chains.used();
        let used = used.filter_map(|name| self.clusters.good(name));
        used.map(|cluster| cluster.assignment.clone()).collect()
    }

    fn is_wanted(&self, assignment: &str) -> bool {
        let own = self.clusters.good(assignment);
        let own = own.is_some_and(|cluster| cluster.assignment == assignment);
        own && !self.chains.users(assignment).is_empty() || self.wanted().contains(assignment)
    }

    /// The routes, complete.
    pub fn routes(&self) -> impl Iterator<Item = Arc<RouteSpec>> {
        let told = self.routes.values().flatten();
        let told = told.filter(|route| !self.remembered.contains(route));
        told.chain(self.remembered.routes()).cloned()
    }

    /// The names that are known of a kind.
    #[must_use]
    pub fn names(&self, kind: Kind) -> Vec<String> {
        let names: Vec<&Arc<str>> = match kind {
            Kind::Cluster => self.clusters.names().collect(),
            Kind::Listener => self.chains.names().collect(),
            Kind::Assignment => self.assignments.names().collect(),
        };
        names.into_iter().map(ToString::to_string).collect()
    }

    /// Where to listen for them, beside the mesh's own listener.
    #[must_use]
    pub fn listeners(&self) -> Vec<ListenerSpec> {
        let mut open: BTreeMap<&Arc<str>, &ListenerSpec> = BTreeMap::new();
        let named = self.remembered.routes().map(|route| &route.listener);
        open.extend(named.filter_map(|name| Some((name, self.listeners.get(name)?))));
        open.extend(self.chains.listeners().map(|spec| (&spec.name, spec)));
        open.into_values().cloned().collect()
    }

    /// Whether every question was answered at least once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let mut wanted = self.wanted().into_iter();
        self.clusters.is_heard()
            && self.chains.is_heard()
            && wanted.all(|name| self.assignments.contains(&name))
    }

    /// What is kept but has no effect, with the reason.
    pub fn quarantined(&self) -> impl Iterator<Item = ((Kind, String), String)> {
        // istiod sends more clusters than a gateway needs.
        let counts = |name: &str| self.chains.any_cluster() || !self.chains.users(name).is_empty();
        let clusters = self.clusters.decoded();
        let clusters = clusters.filter(move |(name, _)| counts(name));
        let clusters = clusters.filter_map(|(name, value)| {
            let why = value.err()?.to_string();
            Some(((Kind::Cluster, name.to_string()), why))
        });
        let listeners = self.chains.unfit();
        let listeners =
            listeners.map(|(name, why)| ((Kind::Listener, name.to_string()), why.to_string()));
        let chains = self.chains.entries().filter_map(|entry| {
            let why = flaw(entry, &self.clusters)?;
            let names = entry.chain.names.join(" ");
            Some(((Kind::Listener, format!("{} {names}", entry.listener)), why))
        });
        let left_out = self.assignments.decoded().filter_map(|(name, value)| {
            let left_out = value.ok()?.left_out;
            let why = format!("{left_out} endpoints without an IP address or a weight");
            (left_out > 0).then(|| ((Kind::Assignment, name.to_string()), why))
        });
        clusters
            .chain(listeners)
            .chain(chains)
            .chain(left_out)
            .chain(self.unusable())
    }

    /// Endpoints that no chain may use, because they speak otherwise than it would need.
    fn unusable(&self) -> impl Iterator<Item = ((Kind, String), String)> {
        self.chains.used().filter_map(|name| {
            let cluster = self.clusters.good(name)?;
            let all = &self.assignments.good(&cluster.assignment)?.endpoints;
            let users = self.chains.users(name).iter();
            let entries: Vec<&Entry> = users.filter_map(|id| self.chains.entry(*id)).collect();
            let nobody_may = |endpoint: &&Endpoint| {
                let mut meshes = entries.iter().map(|entry| entry.chain.alpn.is_some());
                !meshes.any(|mesh| compose::may_use(endpoint, cluster, mesh))
            };
            let left_out = all.iter().filter(nobody_may).count();
            let why = format!("{left_out} endpoints whose tlsMode its chains may not use");
            (left_out > 0).then(|| ((Kind::Assignment, cluster.assignment.clone()), why))
        })
    }

    /// Drops the remembered routes of which the control plane has said all; says whether
    /// there was any.
    fn outgrow(&mut self) -> bool {
        let stream = self.stream;
        let heard = self.clusters.is_heard_on(stream) && self.chains.is_heard_on(stream);
        if self.remembered.is_empty() || !heard {
            return false;
        }
        let mut told: HashMap<(&str, &str), Said> = HashMap::new();
        for (id, routes) in &self.routes {
            let all = self.is_told(*id);
            for route in routes {
                let said = match (all, serves(route)) {
                    (false, _) => Said::Little,
                    (true, true) => Said::There,
                    (true, false) => Said::Empty,
                };
                told.insert((&route.listener, &route.sni), said);
            }
        }
        let said = |route: &RouteSpec| {
            let said = told.get(&(&*route.listener, &*route.sni));
            said.copied().unwrap_or(Said::Empty)
        };
        self.remembered.outgrow(self.doubt, said)
    }

    /// Whether this stream has said what a chain leads to.
    fn is_told(&self, id: Id) -> bool {
        let targets = self.chains.entry(id).map(|entry| &entry.chain.targets);
        let mut targets = targets.into_iter().flatten();
        targets.all(|target| match self.clusters.good(&target.cluster) {
            None => true,
            Some(cluster) => self
                .assignments
                .is_told_on(&cluster.assignment, self.stream),
        })
    }

    /// Makes the routes of these chains anew; says whether any differs.
    fn remake(&mut self, ids: impl IntoIterator<Item = Id>) -> bool {
        let mut changed = false;
        for id in ids {
            let next = self.chains.entry(id).map_or_else(Vec::new, |entry| {
                compose::routes(entry, &self.clusters, &self.assignments)
            });
            let now = self.routes.get(&id).map_or(&[][..], Vec::as_slice);
            if now.iter().map(AsRef::as_ref).eq(&next) {
                continue;
            }
            changed = true;
            match next.is_empty() {
                true => self.routes.remove(&id),
                false => self
                    .routes
                    .insert(id, next.into_iter().map(Arc::new).collect()),
            };
        }
        changed
    }

    /// The chains that lead to clusters with one of these assignments; the two names differ
    /// only where a cluster says so.
    fn leading_to(&self, assignments: &[Arc<str>]) -> Vec<Id> {
        let same = |name: &Arc<str>| {
            let cluster = self.clusters.good(name);
            cluster.is_some_and(|cluster| *cluster.assignment == **name)
        };
        let users = |name: &Arc<str>| self.chains.users(name).to_vec();
        if assignments.iter().all(same) {
            return assignments.iter().flat_map(users).collect();
        }
        let named: BTreeSet<&str> = assignments.iter().map(AsRef::as_ref).collect();
        let used = self.chains.used().filter(|name| {
            let cluster = self.clusters.good(name);
            cluster.is_some_and(|cluster| named.contains(&*cluster.assignment))
        });
        used.flat_map(users).collect()
    }

    /// Nobody says that an assignment is gone: it goes with the last cluster that has it.
    fn forget_assignments(&mut self) {
        let wanted = self.wanted();
        self.assignments.retain(|name| wanted.contains(name));
    }
}

/// Istio's plain clusters, `outbound|80||host`: twice as many as a gateway uses, and large.
fn is_plain(name: &str) -> bool {
    name.contains('|')
}

#[cfg(test)]
mod tests;
