//! Everything that a control plane said and has not taken back, and the routes that
//! follow from it.
//!
//! Resources are compared by their bytes, and only those that differ are decoded; only
//! the routes that they touch are made anew. Outlives the streams: a new one is compared
//! with what is here.

mod chains;
mod collection;
mod compose;
mod digest;
mod remembered;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    mem,
    sync::Arc,
};

use self::{
    chains::{Chains, Id},
    collection::Collection,
    remembered::{Remembered, Said, serves},
};
use super::{
    decode::{assignment::Assignment, cluster::Cluster},
    session::{Kind, Update},
};
use crate::{
    listener::ListenerSpec,
    route::{Name, RouteSpec},
};

/// What is known of a control plane's resources.
#[derive(Debug)]
pub struct Resources {
    stream: Stream,
    clusters: Collection<Cluster>,
    chains: Chains,
    assignments: Collection<Assignment>,
    routes: HashMap<Id, Box<[Arc<RouteSpec>]>>,
    /// What of a chain has no effect.
    remarks: HashMap<Id, Vec<Remark>>,
    /// Assignments of the clusters that a chain leads to.
    wanted: HashSet<Arc<str>>,
    remembered: Remembered,
    /// Whether a stream is believed only once it is settled.
    doubt: bool,
    /// Every listener that a route may name.
    listeners: BTreeMap<Arc<str>, ListenerSpec>,
    /// Names whose routes may be others than when they were asked for.
    changed: HashSet<Name>,
}

/// The number of a stream.
type Stream = u32;

/// The name of a resource, or a part of it, that has no effect, and why.
type Remark = ((Kind, String), String);

/// What an [`Update`] came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether any route changed.
    pub changed: bool,
    /// Whether other assignments are wanted.
    pub asks: bool,
    /// Whether clusters must be said again, because one is needed that was let go.
    pub again: bool,
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
            remarks: HashMap::new(),
            wanted: HashSet::new(),
            remembered: Remembered::default(),
            doubt: false,
            listeners: BTreeMap::new(),
            changed: HashSet::new(),
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
        let (ids, refused, moved) = match update.kind {
            Kind::Cluster => {
                let touched = self.clusters.apply(update, stream, is_plain, |_| None);
                let mut ids = self.chains.follow(&touched.names, &self.clusters);
                let users = touched.names.iter().map(|name| self.chains.users(name));
                ids.extend(users.flatten());
                let moved = !ids.is_empty();
                (ids, touched.refused, moved)
            }
            Kind::Assignment => {
                // The answer to a question that was taken back may still come.
                let wanted = &self.wanted;
                update
                    .resources
                    .retain(|(name, _)| wanted.contains(&**name));
                let known = |name: &str| wanted.get(name).map(Arc::clone);
                let touched = self.assignments.apply(update, stream, |_| false, known);
                (self.leading_to(&touched.names), touched.refused, false)
            }
            Kind::Listener => {
                let touched = self.chains.apply(update, stream, &self.clusters);
                let told = self.chains.listeners().cloned();
                let told = told.map(|spec| (Arc::clone(&spec.name), spec));
                self.listeners.extend(told);
                let moved = !touched.changed.is_empty();
                (touched.changed, touched.refused, moved)
            }
        };
        let again = moved && self.need();
        let asks = moved && self.want();
        Applied {
            changed: self.remake(ids),
            asks,
            again,
            refused,
        }
    }

    /// Once it is known which clusters a chain leads to, only those of them that are not
    /// kept by name alone are decoded, and the bytes of all others are let go. Says whether
    /// one is needed whose bytes were let go before.
    fn need(&mut self) -> bool {
        let chains = &self.chains;
        chains.is_heard() && self.clusters.need(|name| !chains.users(name).is_empty())
    }

    /// Finds out which assignments are wanted, and forgets all others: nobody says that one
    /// is gone, it goes with the last cluster that has it. Says whether they are others now.
    fn want(&mut self) -> bool {
        let used = self.chains.used();
        let used = used.filter_map(|name| Some((name, self.clusters.good(name)?)));
        let wanted = used.map(|(name, cluster)| match &cluster.alias {
            None => Arc::clone(name),
            Some(alias) => Arc::from(&**alias),
        });
        let wanted: HashSet<Arc<str>> = wanted.collect();
        let others = wanted != self.wanted;
        if others {
            self.assignments.retain(|name| wanted.contains(name));
            self.wanted = wanted;
        }
        others
    }

    /// The assignments to ask for: those of the clusters that a chain leads to.
    #[must_use]
    pub fn wanted(&self) -> &HashSet<Arc<str>> {
        &self.wanted
    }

    /// The routes, complete.
    pub fn routes(&self) -> impl Iterator<Item = Arc<RouteSpec>> {
        let told = self.routes.values().flatten();
        let told = told.filter(|route| !self.remembered.contains(route));
        told.chain(self.remembered.routes()).cloned()
    }

    /// The names whose routes may be others than the last time, each with all its routes.
    pub fn changes(&mut self) -> Vec<(Name, Vec<Arc<RouteSpec>>)> {
        let names = mem::take(&mut self.changed).into_iter();
        names
            .map(|name| (name.clone(), self.named(&name)))
            .collect()
    }

    fn named(&self, name: &Name) -> Vec<Arc<RouteSpec>> {
        if let Some(routes) = self.remembered.named(name) {
            return routes.to_vec();
        }
        let ids = self.chains.named(name).iter();
        let routes = ids.filter_map(|id| self.routes.get(id)).flatten();
        routes.filter(|r| r.sni == name.sni).cloned().collect()
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
        let mut wanted = self.wanted.iter();
        self.clusters.is_heard()
            && self.chains.is_heard()
            && wanted.all(|name| self.assignments.contains(name))
    }

    /// What is kept but has no effect, with the reason.
    pub fn quarantined(&self) -> impl Iterator<Item = Remark> {
        let listeners = self.chains.unfit();
        let listeners =
            listeners.map(|(name, why)| ((Kind::Listener, name.to_string()), why.to_string()));
        // Only where every cluster is a route: istiod sends more than a gateway needs.
        let clusters = self.clusters.names().filter(|_| self.chains.any_cluster());
        let clusters = clusters.filter_map(|name| {
            let why = self.clusters.get(name)?.err()?.to_string();
            Some(((Kind::Cluster, name.to_string()), why))
        });
        let of_chains = self.remarks.values().flatten().cloned();
        listeners.chain(clusters).chain(of_chains)
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
                let of_name = told.entry((&route.listener, &route.sni));
                of_name
                    .and_modify(|all| *all = all.and(said))
                    .or_insert(said);
            }
        }
        let said = |name: &Name| {
            let said = told.get(&(&*name.listener, &*name.sni));
            said.copied().unwrap_or(Said::Empty)
        };
        let outgrown = self.remembered.outgrow(self.doubt, said);
        let any = !outgrown.is_empty();
        self.changed.extend(outgrown);
        any
    }

    /// Whether this stream has said what a chain leads to.
    fn is_told(&self, id: Id) -> bool {
        let targets = self.chains.entry(id).map(|entry| &entry.chain.targets);
        let mut targets = targets.into_iter().flatten();
        targets.all(|target| match self.clusters.good(&target.cluster) {
            None => true,
            Some(cluster) => {
                let name = cluster.assignment(&target.cluster);
                self.assignments.is_told_on(name, self.stream)
            }
        })
    }

    /// Makes the routes of these chains anew; says whether any differs.
    fn remake(&mut self, ids: impl IntoIterator<Item = Id>) -> bool {
        let mut changed = false;
        for id in ids {
            let (clusters, assignments) = (&self.clusters, &self.assignments);
            let entry = self.chains.entry(id);
            let remarks = entry.map(|entry| compose::remarks(entry, clusters, assignments));
            match remarks.filter(|remarks| !remarks.is_empty()) {
                Some(remarks) => self.remarks.insert(id, remarks),
                None => self.remarks.remove(&id),
            };
            let next = entry.map(|entry| compose::routes(entry, clusters, assignments));
            let next = next.unwrap_or_default();
            let now = self.routes.get(&id).map_or(&[][..], AsRef::as_ref);
            if now.iter().map(AsRef::as_ref).eq(&next) {
                continue;
            }
            changed = true;
            let before = now.iter().map(AsRef::as_ref);
            self.changed
                .extend(before.chain(&next).map(RouteSpec::name));
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
            cluster.is_some_and(|cluster| cluster.alias.is_none())
        };
        let users = |name: &Arc<str>| self.chains.users(name).to_vec();
        if assignments.iter().all(same) {
            return assignments.iter().flat_map(users).collect();
        }
        let named: BTreeSet<&str> = assignments.iter().map(AsRef::as_ref).collect();
        let used = self.chains.used().filter(|name| {
            let cluster = self.clusters.good(name);
            cluster.is_some_and(|cluster| named.contains(cluster.assignment(name)))
        });
        used.flat_map(users).collect()
    }
}

/// Istio's plain clusters, `outbound|80||host`: twice as many as a gateway uses, and large.
fn is_plain(name: &str) -> bool {
    name.contains('|')
}

#[cfg(test)]
mod tests;
