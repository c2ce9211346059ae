//! The pods of the own cluster, as far as their own sidecars need to know them.
//!
//! Readiness is not asked: a listener must be there before a pod can become ready.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use trust::identity::SpiffeId;

use crate::{
    model::{ServiceKey, Shard},
    serve::xds::{buckets::Buckets, resource::Inbound},
};

/// What each service says of one pod; the services are of the pod's namespace, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod(BTreeMap<Arc<str>, Part>);

/// What one service says of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Who the pod is.
    pub identity: SpiffeId,
    /// Where the service's ports lead.
    pub inbound: BTreeSet<Inbound>,
}

impl Pod {
    /// The pod's ports over all services, if it is `identity` (anybody, if none is given).
    /// A port that one service calls HTTP is HTTP.
    #[must_use]
    pub fn inbound(&self, identity: Option<&SpiffeId>) -> Vec<Inbound> {
        let mut ports = BTreeMap::new();
        let own = |part: &&Part| identity.is_none_or(|id| *id == part.identity);
        for inbound in self.0.values().filter(own).flat_map(|part| &part.inbound) {
            let http = ports
                .entry((inbound.address, inbound.port))
                .or_insert(false);
            *http |= inbound.http;
        }
        let inbound = |((address, port), http)| Inbound {
            address,
            port,
            http,
        };
        ports.into_iter().map(inbound).collect()
    }
}

/// Takes over what a service says of its pods.
pub(super) fn update(
    pods: &mut Buckets<Arc<Pod>>,
    key: &ServiceKey,
    old: Option<Arc<Shard>>,
    new: Option<Arc<Shard>>,
) {
    let same = |(old, new): (&Arc<Shard>, &Arc<Shard>)| Arc::ptr_eq(old, new);
    if old.as_ref().zip(new.as_ref()).is_some_and(same) {
        return;
    }
    let now = new.map(|shard| parts(&shard)).unwrap_or_default();
    let before = old.map(|shard| parts(&shard)).unwrap_or_default();
    for name in before.keys().filter(|name| !now.contains_key(*name)) {
        replace(pods, key, name, None);
    }
    for (name, part) in now {
        if before.get(&name) != Some(&part) {
            replace(pods, key, &name, Some(part));
        }
    }
}

fn replace(pods: &mut Buckets<Arc<Pod>>, key: &ServiceKey, pod: &str, part: Option<Part>) {
    let name = Arc::from(format!("{}/{pod}", key.namespace));
    let mut facts = pods
        .get(&name)
        .map(|pod| Pod::clone(pod))
        .unwrap_or_default();
    match part {
        Some(part) => facts.0.insert(Arc::clone(&key.name), part),
        None => facts.0.remove(&key.name),
    };
    if facts.0.is_empty() {
        pods.remove(&name);
    } else {
        pods.put(&name, Arc::new(facts));
    }
}

fn parts(shard: &Shard) -> BTreeMap<Arc<str>, Part> {
    let mut parts = BTreeMap::<_, Part>::new();
    for endpoint in &shard.endpoints {
        let inbound = shard.ports.iter().filter_map(|port| {
            Some(Inbound {
                address: endpoint.address,
                port: *endpoint.ports.get(&port.name)?,
                http: port.http,
            })
        });
        let part = parts
            .entry(Arc::clone(&endpoint.pod))
            .or_insert_with(|| Part {
                identity: endpoint.identity.clone(),
                inbound: BTreeSet::new(),
            });
        part.inbound.extend(inbound);
    }
    parts
}
