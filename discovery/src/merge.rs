//! The facts of all clusters → one picture. Pure.
//!
//! A change rebuilds only what it touches, and what did not change keeps its `Arc`, so that
//! many small changes in a big mesh cost little here and after. A cluster enters the picture
//! when its lists are complete, and then stays as it was last observed until it is no member
//! any more. What is remembered from before a restart stands in for it until then; the lists
//! replace it by the difference.

mod facts;
mod memory;
pub(crate) mod shard;

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use trust::identity::TrustDomain;

use self::{
    facts::Facts,
    shard::{Ignored, withdraws},
};
use crate::{
    config::{Config, Exports},
    model::{Cluster, ClusterId, Export, Mesh, Network, Service, ServiceKey, Shard},
    remote::{News, Observation, project::Kind},
    snapshot::Origin,
};

/// All clusters' facts, and the picture of them.
#[derive(Debug)]
pub(crate) struct Merge {
    rules: Rules,
    facts: BTreeMap<ClusterId, Facts>,
    /// How the clusters that said who they are, now or before a restart, are known.
    origins: BTreeMap<ClusterId, Origin>,
    /// Remembered clusters that were dropped, and why, since that was last asked.
    dropped: Vec<Dropped>,
    /// Observed, or remembered.
    roster_known: bool,
    mesh: Mesh,
}

/// Settings that decide what the picture shows.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) own: ClusterId,
    /// The own cluster's network, when it is set.
    pub(crate) network: Option<Network>,
    /// For clusters that name none.
    pub(crate) trust_domain: TrustDomain,
    pub(crate) exports: Exports,
}

/// What changed in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Effect {
    /// Nothing.
    #[default]
    None,
    /// Nothing that somebody uses was taken away.
    Addition,
    /// A service of the own cluster began to take traffic from others. Our gateway has to know
    /// before their sidecars do: whoever comes first finds its name closed.
    Opening,
    /// Something was taken away.
    Removal,
}

/// A remembered cluster that is not used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Dropped {
    pub(crate) cluster: ClusterId,
    pub(crate) reason: String,
}

/// Numbers of one cluster, for its status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) objects: BTreeMap<Kind, usize>,
    pub(crate) ignored: BTreeMap<Ignored, usize>,
    /// Its last proof of life before this process, while that is all that is known.
    pub(crate) remembered: Option<SystemTime>,
    /// What an operator should know about its gateways.
    pub(crate) notes: Vec<String>,
}

impl From<&Config> for Rules {
    fn from(config: &Config) -> Self {
        Self {
            own: config.cluster.clone(),
            network: config.network.clone(),
            trust_domain: config.trust_domain.clone(),
            exports: config.exports,
        }
    }
}

impl Merge {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            facts: BTreeMap::new(),
            origins: BTreeMap::new(),
            dropped: Vec::new(),
            roster_known: false,
            mesh: Mesh::default(),
        }
    }

    /// Stores what was observed. The picture stays until [`Merge::settle`].
    pub(crate) fn take(&mut self, observation: Observation) -> Effect {
        let Observation { cluster, news } = observation;
        match news {
            News::Joined => {
                let facts = Facts::new(cluster.clone());
                self.facts.entry(cluster.clone()).or_insert(facts);
                if !self.mesh.clusters.contains_key(&cluster) && self.mesh.missing.insert(cluster) {
                    return Effect::Addition;
                }
            }
            News::Left => return self.leave(&cluster),
            News::Roster(named) => return self.call(&named),
            News::Identified(uid) => return self.identify(cluster, uid),
            News::Changed(kind, change) => {
                if let Some(facts) = self.facts.get_mut(&cluster) {
                    facts.take(kind, change);
                }
            }
            News::Absent(kind) => {
                if let Some(facts) = self.facts.get_mut(&cluster) {
                    facts.settled(kind);
                }
            }
        }
        Effect::None
    }

    /// Brings the picture up to what was observed.
    pub(crate) fn settle(&mut self) -> Effect {
        let mut effect = Effect::None;
        for (id, facts) in &mut self.facts {
            let mut settled = facts.settle(&self.rules);
            if let Some(origin) = self.origins.get_mut(id).filter(|_| facts.is_complete())
                && origin.remembered.take().is_some()
            {
                settled.services.extend(services_with(&self.mesh, id));
            }
            if settled.cluster {
                effect = effect.max(settle_cluster(&mut self.mesh, facts.cluster(&self.rules)));
            }
            for key in settled.services {
                let old = shard_of(&self.mesh, id, &key);
                let new = facts.shard(&key, &self.rules, old.as_deref());
                let opens = *id == self.rules.own && opens(old.as_deref(), new.as_ref());
                effect = effect.max(settle_shard(&mut self.mesh, id, &key, old, new));
                if opens {
                    effect = effect.max(Effect::Opening);
                }
            }
        }
        effect
    }

    /// The picture of this moment.
    pub(crate) fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The next publication.
    pub(crate) fn publish(&mut self) -> Arc<Mesh> {
        self.mesh.generation += 1;
        Arc::new(self.mesh.clone())
    }

    /// Whether all members are known, and none is missing in the picture.
    pub(crate) fn is_complete(&self) -> bool {
        self.roster_known && self.mesh.missing.is_empty()
    }

    /// Numbers of each cluster.
    pub(crate) fn tallies(&self) -> BTreeMap<ClusterId, Tally> {
        let facts = self.facts.iter();
        let mut tallies: BTreeMap<_, _> = facts
            .map(|(id, facts)| (id.clone(), tally(facts)))
            .collect();
        for (id, origin) in &self.origins {
            if origin.remembered.is_some() {
                tallies.entry(id.clone()).or_default().remembered = origin.remembered;
            }
        }
        tallies
    }

    fn leave(&mut self, id: &ClusterId) -> Effect {
        self.facts.remove(id);
        self.forget(id)
    }

    /// Takes a cluster out of the picture.
    fn forget(&mut self, id: &ClusterId) -> Effect {
        self.origins.remove(id);
        let was_missing = self.mesh.missing.remove(id);
        if self.mesh.clusters.remove(id).is_none() {
            return if was_missing {
                Effect::Addition
            } else {
                Effect::None
            };
        }
        for key in services_with(&self.mesh, id) {
            let old = shard_of(&self.mesh, id, &key);
            settle_shard(&mut self.mesh, id, &key, old, None);
        }
        Effect::Removal
    }
}

fn services_with(mesh: &Mesh, id: &ClusterId) -> Vec<ServiceKey> {
    let services = mesh.services.iter();
    services
        .filter(|(_, service)| service.shards.contains_key(id))
        .map(|(key, _)| key.clone())
        .collect()
}

fn shard_of(mesh: &Mesh, id: &ClusterId, key: &ServiceKey) -> Option<Arc<Shard>> {
    mesh.services.get(key)?.shards.get(id).cloned()
}

fn settle_cluster(mesh: &mut Mesh, new: Cluster) -> Effect {
    let old = mesh.clusters.get(&new.id);
    if old.is_some_and(|old| **old == new) {
        return Effect::None;
    }
    let takes = old.is_some_and(|old| {
        let moved = (&old.network, &old.trust_domain) != (&new.network, &new.trust_domain);
        moved || !old.gateways.is_subset(&new.gateways)
    });
    mesh.missing.remove(&new.id);
    mesh.clusters.insert(new.id.clone(), Arc::new(new));
    if takes {
        Effect::Removal
    } else {
        Effect::Addition
    }
}

/// Whether others can use from now on what they could not before.
fn opens(old: Option<&Shard>, new: Option<&Shard>) -> bool {
    let takes_traffic = |shard: &Shard| {
        shard.export != Export::Closed && shard.endpoints.iter().any(|e| e.ready && e.mesh_tls)
    };
    new.is_some_and(takes_traffic) && !old.is_some_and(takes_traffic)
}

fn settle_shard(
    mesh: &mut Mesh,
    id: &ClusterId,
    key: &ServiceKey,
    old: Option<Arc<Shard>>,
    new: Option<Shard>,
) -> Effect {
    let effect = match (&old, &new) {
        (None, None) => return Effect::None,
        (Some(old), Some(new)) if **old == *new => return Effect::None,
        (Some(old), Some(new)) if withdraws(old, new) => Effect::Removal,
        (Some(_), None) => Effect::Removal,
        (_, Some(_)) => Effect::Addition,
    };
    let mut shards = match mesh.services.get(key) {
        Some(service) => service.shards.clone(),
        None => BTreeMap::new(),
    };
    match new {
        Some(shard) => shards.insert(id.clone(), Arc::new(shard)),
        None => shards.remove(id),
    };
    if shards.is_empty() {
        mesh.services.remove(key);
    } else {
        let key = key.clone();
        let service = Service {
            key: key.clone(),
            shards,
        };
        mesh.services.insert(key, Arc::new(service));
    }
    effect
}

fn tally(facts: &Facts) -> Tally {
    let mut notes = Vec::new();
    for (key, gateway) in facts.gateways() {
        for name in &gateway.host_names {
            notes.push(format!(
                "gateway {key}: the host name {name} is not resolved; give the Service an IP address or externalIPs"
            ));
        }
        if !gateway.exposed {
            let port = gateway.port;
            notes.push(format!(
                "gateway {key}: the Service has no port {port}; add it"
            ));
        }
    }
    notes.sort();
    Tally {
        objects: facts.objects(),
        ignored: facts.ignored().clone(),
        remembered: None,
        notes,
    }
}

#[cfg(test)]
mod tests;
