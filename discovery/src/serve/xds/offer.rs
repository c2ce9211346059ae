//! What one viewer is told at one moment: its share of the catalog, and what is its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use trust::identity::TrustDomain;

use super::{
    buckets::Buckets,
    catalog::{Catalog, Pod},
    resource::{
        Kind, Resource, inbound_cluster, inbound_listener, mesh_listener, outbound_listener,
    },
    viewer::Viewer,
};
use crate::horizon::Role;

/// What a viewer is told, by kind and name. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    clusters: Buckets<Resource>,
    assignments: Buckets<Resource>,
    own: Arc<BTreeMap<(Kind, Arc<str>), Resource>>,
}

/// Makes the offers of one viewer, and keeps what is its own from one to the next.
#[derive(Debug)]
pub struct Lens {
    viewer: Arc<Viewer>,
    pod: Option<(Arc<Pod>, TrustDomain)>,
    /// Resources of its pod alone.
    fixed: Vec<Resource>,
    offer: Offer,
}

impl Lens {
    /// A lens for `viewer`.
    #[must_use]
    pub fn new(viewer: Arc<Viewer>) -> Self {
        let fixed = match viewer.role {
            Role::Gateway => vec![mesh_listener()],
            Role::Sidecar => vec![outbound_listener(viewer.loopback)],
        };
        Self {
            viewer,
            pod: None,
            fixed,
            offer: Offer::default(),
        }
    }

    /// What the viewer is told of `catalog`.
    pub fn look(&mut self, catalog: &Catalog) -> &Offer {
        let shelf = catalog.shelf(self.viewer.role);
        self.offer.clusters = shelf.clusters.clone();
        self.offer.assignments = shelf.assignments.clone();
        if self.viewer.role == Role::Sidecar {
            self.find_pod(catalog);
        }
        let own = self.own(catalog);
        if own != *self.offer.own {
            self.offer.own = Arc::new(own);
        }
        &self.offer
    }

    /// How many ports of its own the viewer was found to have.
    #[must_use]
    pub fn inbound(&self) -> usize {
        let listener = |resource: &&Resource| resource.kind() == Kind::Listener;
        self.fixed.iter().filter(listener).count() - 1
    }

    /// Makes the inbound resources anew when the facts of the pod changed. A pod that is
    /// gone keeps them: a sidecar outlives its pod's endpoints while it drains.
    fn find_pod(&mut self, catalog: &Catalog) {
        let pod = catalog.pod(&self.viewer.namespace, &self.viewer.pod);
        let (Some(pod), Some(trust_domain)) = (pod, catalog.trust_domain()) else {
            return;
        };
        let known = |(p, td): &(Arc<Pod>, TrustDomain)| Arc::ptr_eq(p, pod) && td == trust_domain;
        if self.pod.as_ref().is_some_and(known) {
            return;
        }
        self.pod = Some((Arc::clone(pod), trust_domain.clone()));
        let ports = pod.inbound(self.viewer.identity.as_ref());
        let numbers: BTreeSet<_> = ports.iter().map(|inbound| inbound.port).collect();
        self.fixed.truncate(1);
        let own = self.viewer.loopback;
        let clusters = numbers.into_iter().map(|port| inbound_cluster(own, port));
        self.fixed.extend(clusters);
        let listeners = ports.into_iter().map(|i| inbound_listener(i, trust_domain));
        self.fixed.extend(listeners);
    }

    fn own(&self, catalog: &Catalog) -> BTreeMap<(Kind, Arc<str>), Resource> {
        let sidecar = self.viewer.role == Role::Sidecar;
        let routes = sidecar.then(|| catalog.routes(&self.viewer.namespace));
        (self.fixed.iter().cloned().chain(routes))
            .map(|resource| ((resource.kind(), Arc::clone(resource.name())), resource))
            .collect()
    }
}

impl Offer {
    /// An offer of these resources.
    #[cfg(test)]
    pub(super) fn of(resources: impl IntoIterator<Item = Resource>) -> Self {
        let mut offer = Self::default();
        let mut own = BTreeMap::new();
        for resource in resources {
            let (kind, name) = (resource.kind(), Arc::clone(resource.name()));
            match kind {
                Kind::Cluster => offer.clusters.put(&name, resource),
                Kind::Assignment => offer.assignments.put(&name, resource),
                Kind::Listener | Kind::Route => {
                    own.insert((kind, name), resource);
                }
            }
        }
        offer.own = Arc::new(own);
        offer
    }

    /// The resource of this kind and name.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &Arc<str>) -> Option<&Resource> {
        let own = || self.own.get(&(kind, Arc::clone(name)));
        self.shared(kind)
            .and_then(|shared| shared.get(name))
            .or_else(own)
    }

    /// All names of a kind.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &Arc<str>> {
        let shared = self.shared(kind).into_iter().flat_map(Buckets::iter);
        let own = self.own.keys().filter(move |(of, _)| *of == kind);
        shared
            .map(|(name, _)| name)
            .chain(own.map(|(_, name)| name))
    }

    /// The names of a kind whose resources are not the same as in `old`.
    #[must_use]
    pub fn changed(&self, kind: Kind, old: &Self) -> BTreeSet<Arc<str>> {
        let mut names = BTreeSet::new();
        if let (Some(new), Some(old)) = (self.shared(kind), old.shared(kind)) {
            names = new.changed(old);
        }
        if !Arc::ptr_eq(&self.own, &old.own) {
            let both = self.own.keys().chain(old.own.keys());
            let differs = |key: &&(Kind, Arc<str>)| self.own.get(key) != old.own.get(key);
            let own = both.filter(|(of, _)| *of == kind).filter(differs);
            names.extend(own.map(|(_, name)| Arc::clone(name)));
        }
        names
    }

    fn shared(&self, kind: Kind) -> Option<&Buckets<Resource>> {
        match kind {
            Kind::Cluster => Some(&self.clusters),
            Kind::Assignment => Some(&self.assignments),
            Kind::Listener | Kind::Route => None,
        }
    }
}
