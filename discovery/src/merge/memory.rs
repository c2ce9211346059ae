//! What is remembered from before a restart: how it enters the picture, and what ends it.
//!
//! A remembered cluster stands until its lists are complete, or it is told that it is not a
//! member any more, or another cluster answers in its place.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

use super::{Merge, effect::Effect, tally::Dropped};
use crate::{
    model::{ClusterId, Endpoint, Gateway, Mesh, Shard},
    remote::state::Uid,
    snapshot::{Known, Origin, Snapshot},
};

impl Merge {
    /// Takes in what is remembered; nothing was observed yet.
    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        for remembered in snapshot.clusters {
            let id = remembered.cluster.id.clone();
            let origin = Origin {
                uid: Arc::clone(&remembered.uid),
                remembered: Some(remembered.seen()),
            };
            self.origins.insert(id.clone(), origin);
            self.mesh.clusters.insert(id, remembered.cluster);
        }
        let services = snapshot.services.into_iter();
        self.mesh.services = services.map(|s| (s.key.clone(), s)).collect();
        self.mesh.missing = snapshot.missing;
        self.roster_known = true;
        self.consider_import();
        self.screen();
    }

    /// What is remembered was let in under the settings of its time.
    fn screen(&mut self) {
        let (own, import) = (&self.rules.own, &self.import);
        for (_, cluster) in self.mesh.clusters.iter_mut().filter(|(id, _)| *id != own) {
            let is_let_in = |gateway: &Gateway| import.dialled(gateway.address).is_ok();
            if !cluster.gateways.iter().all(is_let_in) {
                Arc::make_mut(cluster).gateways.retain(is_let_in);
            }
        }
        let is_let_in = |e: &Arc<Endpoint>| import.pod(e.address, e.network.as_ref()).is_ok();
        for service in self.mesh.services.values_mut() {
            let shards = service.shards.iter().filter(|(id, _)| *id != own);
            let is_refused = |(_, shard): &(_, &Arc<Shard>)| !shard.endpoints.iter().all(is_let_in);
            let ids: Vec<ClusterId> = shards
                .filter(is_refused)
                .map(|(id, _)| id.clone())
                .collect();
            for id in ids {
                if let Some(shard) = Arc::make_mut(service).shards.get_mut(&id) {
                    Arc::make_mut(shard).endpoints.retain(is_let_in);
                }
            }
        }
    }

    /// Who the members are.
    pub(super) fn call(&mut self, named: &BTreeSet<ClusterId>) -> Effect {
        self.roster_known = true;
        let missing = self.mesh.missing.len();
        let facts = &self.facts;
        self.mesh.missing.retain(|id| facts.contains_key(id));
        let mut effect = match missing == self.mesh.missing.len() {
            true => Effect::None,
            false => Effect::Addition,
        };
        let gone: Vec<ClusterId> = self
            .remembered()
            .filter(|(id, _)| **id != self.rules.own && !named.contains(*id))
            .map(|(id, _)| id.clone())
            .collect();
        for cluster in gone {
            effect = effect.max(self.forget(&cluster));
            let reason = "no remote secret names it any more".to_owned();
            self.dropped.push(Dropped { cluster, reason });
        }
        effect
    }

    /// Who answers as `cluster`.
    pub(super) fn identify(&mut self, cluster: ClusterId, uid: Uid) -> Effect {
        if !self.facts.contains_key(&cluster) {
            return Effect::None;
        }
        let known = self.origins.get(&cluster).cloned();
        let mut effect = Effect::None;
        let mut remembered = known.as_ref().and_then(|known| known.remembered);
        if let Some(known) = known.filter(|known| known.uid != uid)
            && remembered.take().is_some()
        {
            effect = self.forget(&cluster);
            self.mesh.missing.insert(cluster.clone());
            self.dropped.push(Dropped {
                cluster: cluster.clone(),
                reason: format!(
                    "another cluster answers: its kube-system UID is {uid}, the remembered one's was {}",
                    known.uid
                ),
            });
        }
        self.origins.insert(cluster, Origin { uid, remembered });
        effect
    }

    /// Remembered clusters with their last proof of life.
    pub(super) fn remembered(&self) -> impl Iterator<Item = (&ClusterId, SystemTime)> {
        let origins = self.origins.iter();
        origins.filter_map(|(id, origin)| Some((id, origin.remembered?)))
    }

    /// Remembered clusters that were dropped since the last call.
    pub(crate) fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// How the clusters are known that said who they are; `None` while not even the members
    /// are known.
    pub(crate) fn origins(&self) -> Option<&BTreeMap<ClusterId, Origin>> {
        self.roster_known.then_some(&self.origins)
    }

    /// What to keep over a restart, with the picture `mesh` of this moment; `None` while not
    /// even the members are known.
    pub(crate) fn known(&self, mesh: &Arc<Mesh>) -> Option<Known> {
        Some(Known {
            mesh: Arc::clone(mesh),
            origins: self.origins()?.clone(),
        })
    }
}
