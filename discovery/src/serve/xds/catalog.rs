//! Everything that any viewer may be told, encoded: from one picture of the clusters to
//! the next, only what changed is looked at again.
//!
//! Viewers of one role share clusters and assignments; viewers of one namespace share
//! routes. What is a viewer's own (its listeners) is made from its [`Pod`] in
//! [`super::offer`].

mod pods;
#[cfg(test)]
mod tests;
mod told;

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use trust::identity::TrustDomain;

use self::told::Told;
use super::{
    buckets::Buckets,
    resource::{Resource, Routes},
};
use crate::{
    horizon::{Gateways, Role, Standpoint, Withheld},
    model::{ClusterId, Mesh, Network, Service, ServiceKey},
};

pub use pods::{Part, Pod};

/// What all viewers together are told, at one moment.
#[derive(Debug, Clone)]
pub struct Catalog {
    ground: Ground,
    mesh: Arc<Mesh>,
    gateways: Gateways,
    sidecar: Shelf,
    gateway: Shelf,
    routes: Arc<Book>,
    pods: Buckets<Arc<Pod>>,
}

/// What does not change while discovery runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The cluster that discovery serves.
    pub cluster: ClusterId,
    /// Its network, where the configuration names one; else what the mesh says.
    pub network: Option<Network>,
    /// The domain of service names, such as `cluster.local`.
    pub domain: Arc<str>,
}

/// What viewers of one role are told.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    /// Clusters by name.
    pub clusters: Buckets<Resource>,
    /// Assignments by name.
    pub assignments: Buckets<Resource>,
    /// What was made of each service, by `namespace/name`.
    services: Buckets<Arc<Told>>,
}

/// The routes, encoded for a namespace when somebody there first asks.
#[derive(Debug, Default)]
struct Book {
    services: BTreeMap<ServiceKey, Vec<u16>>,
    encoded: dashmap::DashMap<Arc<str>, Resource>,
}

impl Catalog {
    /// The catalog of an empty mesh.
    #[must_use]
    pub fn new(ground: Ground) -> Self {
        Self {
            ground,
            mesh: Arc::default(),
            gateways: Gateways::default(),
            sidecar: Shelf::default(),
            gateway: Shelf::default(),
            routes: Arc::default(),
            pods: Buckets::default(),
        }
    }

    /// The catalog of `mesh`; `None` when `mesh` does not know the own cluster: that says
    /// nothing, and what was known stays. What `mesh` shares with the mesh before is shared
    /// here too.
    #[must_use]
    pub fn next(&self, mesh: &Arc<Mesh>) -> Option<Self> {
        if !mesh.clusters.contains_key(&self.ground.cluster) {
            return None;
        }
        let mut next = self.clone();
        next.mesh = Arc::clone(mesh);
        next.gateways = Gateways::of(mesh);
        let all = next.gateways != self.gateways || next.network() != self.network();
        let mut routes = None;
        for (key, old, new) in changes(&self.mesh, mesh, all) {
            let ports = next.retell(key, new);
            if self.routes.services.get(key) != ports.as_ref() {
                let services = routes.get_or_insert_with(|| self.routes.services.clone());
                match ports {
                    Some(ports) => services.insert(key.clone(), ports),
                    None => services.remove(key),
                };
            }
            let shard = |service: Option<&Arc<Service>>| {
                service.and_then(|s| s.shards.get(&self.ground.cluster).cloned())
            };
            pods::update(&mut next.pods, key, shard(old), shard(new));
        }
        if let Some(services) = routes {
            next.routes = Arc::new(Book {
                services,
                ..Book::default()
            });
        }
        Some(next)
    }

    /// Whether it says anything: before the own cluster was heard of it does not, and
    /// nobody is told that there is nothing.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.mesh.clusters.contains_key(&self.ground.cluster)
    }

    /// The generation of the mesh that it was made of.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.mesh.generation
    }

    /// What viewers of `role` are told.
    #[must_use]
    pub fn shelf(&self, role: Role) -> &Shelf {
        match role {
            Role::Sidecar => &self.sidecar,
            Role::Gateway => &self.gateway,
        }
    }

    /// The route configuration of sidecars in `namespace`.
    #[must_use]
    pub fn routes(&self, namespace: &Arc<str>) -> Resource {
        let encode = || {
            let routes = Routes::new(&self.routes.services);
            routes.encode(namespace, &self.ground.domain)
        };
        let entry = self.routes.encoded.entry(Arc::clone(namespace));
        entry.or_insert_with(encode).clone()
    }

    /// A pod of the own cluster.
    #[must_use]
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Arc<Pod>> {
        self.pods.get(&format!("{namespace}/{name}"))
    }

    /// The trust domain of the own cluster.
    #[must_use]
    pub fn trust_domain(&self) -> Option<&TrustDomain> {
        let own = self.mesh.clusters.get(&self.ground.cluster)?;
        Some(&own.trust_domain)
    }

    /// Endpoints that viewers of `role` are not told, over all services and ports.
    #[must_use]
    pub fn withheld(&self, role: Role) -> Withheld {
        let mut sum = Withheld::default();
        for (_, told) in self.shelf(role).services.iter() {
            sum.merge(&told.withheld);
        }
        sum
    }

    /// Makes anew what is told of one service; the ports that sidecars can call.
    fn retell(&mut self, key: &ServiceKey, service: Option<&Arc<Service>>) -> Option<Vec<u16>> {
        let name = Arc::from(key.to_string());
        for role in [Role::Sidecar, Role::Gateway] {
            let seen = service.and_then(|s| self.standpoint(role).see(s, &self.gateways));
            let told = seen.map(|seen| Told::encode(role, &seen, &self.ground.domain));
            self.shelf_mut(role).put(&name, told);
        }
        let told = self.sidecar.services.get(&name)?;
        Some(told.ports.clone())
    }

    fn shelf_mut(&mut self, role: Role) -> &mut Shelf {
        match role {
            Role::Sidecar => &mut self.sidecar,
            Role::Gateway => &mut self.gateway,
        }
    }

    fn standpoint(&self, role: Role) -> Standpoint {
        Standpoint {
            cluster: self.ground.cluster.clone(),
            network: self.network().cloned(),
            role,
        }
    }

    fn network(&self) -> Option<&Network> {
        let own = self.mesh.clusters.get(&self.ground.cluster);
        let heard = || own.and_then(|cluster| cluster.network.as_ref());
        self.ground.network.as_ref().or_else(heard)
    }
}

impl Shelf {
    fn put(&mut self, service: &Arc<str>, told: Option<Told>) {
        let old = self.services.get(service).cloned();
        for resource in old.iter().flat_map(|old| old.clusters.iter()) {
            if !told.as_ref().is_some_and(|told| told.names(resource)) {
                self.clusters.remove(resource.name());
                self.assignments.remove(resource.name());
            }
        }
        let Some(told) = told else {
            self.services.remove(service);
            return;
        };
        for cluster in &told.clusters {
            self.clusters.put(cluster.name(), cluster.clone());
        }
        for assignment in &told.assignments {
            self.assignments.put(assignment.name(), assignment.clone());
        }
        self.services.put(service, Arc::new(told));
    }
}

/// A service as it was and as it is.
type Change<'a> = (
    &'a ServiceKey,
    Option<&'a Arc<Service>>,
    Option<&'a Arc<Service>>,
);

/// The services that are not the same object in both; every service if `all`. Both are in the
/// order of their keys: where nothing changed no key is looked at.
fn changes<'a>(old: &'a Mesh, new: &'a Mesh, all: bool) -> Vec<Change<'a>> {
    let (mut before, mut now) = (
        old.services.iter().peekable(),
        new.services.iter().peekable(),
    );
    let mut changes = Vec::new();
    loop {
        let order = match (before.peek(), now.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((_, was)), Some((_, is))) if Arc::ptr_eq(was, is) => Ordering::Equal,
            (Some((was, _)), Some((is, _))) => was.cmp(is),
        };
        let was = before.next_if(|_| order.is_le());
        let is = now.next_if(|_| order.is_ge());
        let same = was
            .zip(is)
            .is_some_and(|((_, was), (_, is))| Arc::ptr_eq(was, is));
        if let Some((key, _)) = is.or(was)
            && (all || !same)
        {
            changes.push((key, was.map(|(_, was)| was), is.map(|(_, is)| is)));
        }
    }
}
