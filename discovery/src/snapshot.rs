//! What is known, as bytes that outlive the process. Pure.
//!
//! The picture is kept, not the objects that it is made of: it is what a restart needs, it is
//! small, and the first complete lists of a cluster replace its part by a difference. It was
//! made under [`Terms`]; under other ones it says nothing. The form is JSON below a [`Seal`]:
//! an operator can read it in an outage, and the parser is in the house anyway.

pub(crate) mod keeper;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use trust::{
    identity::TrustDomain,
    store::{Broken, Seal},
};

use crate::{
    config::{Config, Exports},
    model::{Cluster, ClusterId, Mesh, Network, Service, Shard},
    remote::state::Uid,
};

/// What is kept over a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Snapshot {
    pub(crate) terms: Terms,
    pub(crate) clusters: Vec<Remembered>,
    /// Members of which nothing was known.
    pub(crate) missing: BTreeSet<ClusterId>,
    pub(crate) services: Vec<Arc<Service>>,
}

/// A cluster's own part, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Remembered {
    pub(crate) cluster: Arc<Cluster>,
    /// Another one means another cluster.
    pub(crate) uid: Uid,
    /// The last proof of life, in milliseconds since 1970.
    seen: u64,
}

/// Settings that decide what a picture shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Terms {
    cluster: ClusterId,
    network: Option<Network>,
    trust_domain: TrustDomain,
    system_namespace: String,
    exports: Exports,
}

/// The picture of a moment, and how each cluster in it is known.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) mesh: Arc<Mesh>,
    pub(crate) origins: BTreeMap<ClusterId, Origin>,
}

/// How a cluster in the picture is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Who it is.
    pub(crate) uid: Uid,
    /// Its last proof of life before this process, while that is all that is known.
    pub(crate) remembered: Option<SystemTime>,
}

/// Why bytes are no snapshot for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("its content is not one: {0}")]
    Content(String),
    #[error(
        "it was made under other settings (cluster, network, trustDomain, systemNamespace or exports)"
    )]
    Terms,
}

impl Terms {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            cluster: config.cluster.clone(),
            network: config.network.clone(),
            trust_domain: config.trust_domain.clone(),
            system_namespace: config.system_namespace.clone(),
            exports: config.exports,
        }
    }
}

impl Remembered {
    /// When the cluster was last known to live.
    pub(crate) fn seen(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.seen)
    }
}

impl Snapshot {
    /// Of what is known. `proof`: when a cluster that is observed was last known to live. A
    /// cluster that has not said who it is cannot be told from another one later: it is left
    /// out.
    pub(crate) fn of(
        known: &Known,
        proof: impl Fn(&ClusterId) -> SystemTime,
        terms: &Terms,
    ) -> Self {
        let mut missing = known.mesh.missing.clone();
        let mut clusters = Vec::with_capacity(known.mesh.clusters.len());
        for (id, cluster) in &known.mesh.clusters {
            let Some(origin) = known.origins.get(id) else {
                missing.insert(id.clone());
                continue;
            };
            let seen = origin.remembered.unwrap_or_else(|| proof(id));
            clusters.push(Remembered {
                cluster: Arc::clone(cluster),
                uid: Arc::clone(&origin.uid),
                seen: millis(seen),
            });
        }
        let kept: BTreeSet<&ClusterId> = clusters.iter().map(|c| &c.cluster.id).collect();
        let services = known.mesh.services.values();
        Self {
            terms: terms.clone(),
            services: services.filter_map(|s| only(s, &kept)).collect(),
            clusters,
            missing,
        }
    }

    /// As bytes.
    ///
    /// # Errors
    /// Never for what [`Snapshot::of`] makes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        Ok(SEAL.close(&serde_json::to_vec(self)?))
    }

    /// From bytes, made under `terms`.
    ///
    /// # Errors
    /// Why they are none.
    pub(crate) fn decode(bytes: &[u8], terms: &Terms) -> Result<Self, Flaw> {
        let body = SEAL.open(bytes)?;
        let snapshot: Self =
            serde_json::from_slice(body).map_err(|error| Flaw::Content(error.to_string()))?;
        if snapshot.terms != *terms {
            return Err(Flaw::Terms);
        }
        match snapshot.stray() {
            Some(reason) => Err(Flaw::Content(reason)),
            None => Ok(snapshot),
        }
    }

    /// What no picture holds: a shard of a cluster that is not in it.
    fn stray(&self) -> Option<String> {
        let ids = self.clusters.iter().map(|known| &known.cluster.id);
        let ids: BTreeSet<&ClusterId> = ids.collect();
        let shards = self.services.iter().flat_map(|s| s.shards.keys());
        let stray = shards
            .chain(&self.missing)
            .find(|id| ids.contains(id) == self.missing.contains(*id))?;
        Some(format!("the cluster {stray} is both known and not"))
    }
}

/// What these clusters contribute to a service.
fn only(service: &Arc<Service>, kept: &BTreeSet<&ClusterId>) -> Option<Arc<Service>> {
    if service.shards.keys().all(|id| kept.contains(id)) {
        return Some(Arc::clone(service));
    }
    let shards = service.shards.iter();
    let shards: BTreeMap<ClusterId, Arc<Shard>> = shards
        .filter(|(id, _)| kept.contains(id))
        .map(|(id, shard)| (id.clone(), Arc::clone(shard)))
        .collect();
    let key = service.key.clone();
    (!shards.is_empty()).then(|| Arc::new(Service { key, shards }))
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Another form of anything below it needs another version; a test compares with a text.
pub(crate) const SEAL: Seal = Seal {
    of: "isthmus discovery snapshot",
    version: "1",
};

#[cfg(test)]
mod tests;
