//! The facts of all clusters → one picture. Pure.
//!
//! A change rebuilds only what it touches, and what did not change keeps its `Arc`, so that
//! many small changes in a big mesh cost little here and after. A cluster enters the picture
//! when its lists are complete, and then stays as it was last observed until it is no member
//! any more. What is remembered from before a restart stands in for it until then; the lists
//! replace it by the difference.

pub(crate) mod effect;
mod facts;
mod memory;
pub(crate) mod shard;
mod slices;
pub(crate) mod tally;

use std::{collections::BTreeMap, sync::Arc};

use trust::identity::TrustDomain;

use self::{
    effect::Effect,
    facts::Facts,
    shard::withdraws,
    tally::{Dropped, Tally},
};
use crate::{
    config::{Config, Exports, Import},
    import::Policy,
    model::{Cluster, ClusterId, Export, Mesh, Network, Service, ServiceKey, Shard},
    remote::observation::{News, Observation},
    snapshot::Origin,
};

/// All clusters' facts, and the picture of them.
#[derive(Debug)]
pub(crate) struct Merge {
    rules: Rules,
    /// What the own cluster lets in, as far as it is known.
    import: Policy,
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
    pub(crate) import: Import,
}

impl From<&Config> for Rules {
    fn from(config: &Config) -> Self {
        Self {
            own: config.cluster.clone(),
            network: config.network.clone(),
            trust_domain: config.trust_domain.clone(),
            exports: config.exports,
            import: config.import.clone(),
        }
    }
}

impl Merge {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            import: Policy::of(&rules.import, None),
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
            News::Changed(kind, change, at) => {
                if let Some(facts) = self.facts.get_mut(&cluster) {
                    facts.take(kind, change, at);
                }
            }
            News::Reached(kind, at) => {
                if let Some(facts) = self.facts.get_mut(&cluster) {
                    facts.reached(kind, at);
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
        let own = self.rules.own.clone();
        let before = self.mesh.clusters.get(&own).cloned();
        let mut effect = self.settle_facts(&own);
        if self.mesh.clusters.get(&own) != before.as_ref() {
            self.consider_import();
        }
        let others: Vec<ClusterId> = self
            .facts
            .keys()
            .filter(|id| **id != own)
            .cloned()
            .collect();
        for id in others {
            effect = effect.max(self.settle_facts(&id));
        }
        effect
    }

    /// Brings the picture of one cluster up to what was observed.
    fn settle_facts(&mut self, id: &ClusterId) -> Effect {
        let Some(facts) = self.facts.get_mut(id) else {
            return Effect::None;
        };
        let mut settled = facts.settle(&self.rules, &self.import);
        if let Some(origin) = self.origins.get_mut(id).filter(|_| facts.is_complete())
            && origin.remembered.take().is_some()
        {
            settled.services.extend(services_with(&self.mesh, id));
        }
        let mut effect = Effect::None;
        if settled.cluster {
            let cluster = facts.cluster(&self.rules, &self.import);
            effect = settle_cluster(&mut self.mesh, cluster);
        }
        for key in settled.services {
            let old = shard_of(&self.mesh, id, &key);
            let new = facts.shard(&key, &self.rules, &self.import, old.as_deref());
            let opens =
                lets_in(&self.mesh, &self.rules.own, id) && opens(old.as_deref(), new.as_ref());
            effect = effect.max(settle_shard(&mut self.mesh, id, &key, old, new));
            if opens {
                effect = effect.max(Effect::Opening);
            }
        }
        effect
    }

    /// What is let in follows from the own cluster; where that is another one now, all that
    /// others bring is looked at again.
    fn consider_import(&mut self) {
        let own = self.mesh.clusters.get(&self.rules.own).map(Arc::as_ref);
        let import = Policy::of(&self.rules.import, own);
        if import != self.import {
            self.import = import;
            let peers = self
                .facts
                .iter_mut()
                .filter(|(id, _)| **id != self.rules.own);
            peers.for_each(|(_, facts)| facts.touch_everything());
        }
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
            .map(|(id, facts)| (id.clone(), self.tally(id, facts)))
            .collect();
        for (id, origin) in &self.origins {
            if origin.remembered.is_some() {
                tallies.entry(id.clone()).or_default().remembered = origin.remembered;
            }
        }
        tallies
    }

    fn tally(&self, id: &ClusterId, facts: &Facts) -> Tally {
        let mut notes = facts.notes();
        if *id != self.rules.own {
            for (key, gateway) in facts.gateways() {
                let addresses = gateway.addresses.iter();
                let refused = addresses.filter_map(|a| Some((a, self.import.dialled(*a).err()?)));
                notes.extend(refused.map(|(address, reason)| {
                    format!("gateway {key}: the address {address} is not used: {reason}")
                }));
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

/// Whether gateways of `own` let in to what `id` has: itself, and all of its network.
fn lets_in(mesh: &Mesh, own: &ClusterId, id: &ClusterId) -> bool {
    let network = |id| mesh.clusters.get(id)?.network.as_ref();
    id == own || network(id).is_some_and(|there| network(own) == Some(there))
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

#[cfg(test)]
mod tests;
