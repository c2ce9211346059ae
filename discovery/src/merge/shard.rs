//! What one cluster contributes to a service, of its slices and pods. Pure.
//!
//! An endpoint exists only with a Pod of the service's namespace that carries its address: a
//! hand-written slice cannot point somewhere else (CVE-2021-25740), and none is ever without
//! its identity.

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

use trust::identity::{SpiffeId, TrustDomain};

use crate::{
    import::{Policy, Refused},
    model::{Endpoint, Export, Locality, Network, ServicePort, Shard},
    remote::project::{Backing, PodFact, SliceEndpoint, SliceFact},
};

/// Why an entry of a slice is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Ignored {
    /// It names no Pod.
    NoPod,
    /// It names a Pod of another namespace.
    OtherNamespace,
    /// Its Pod is not known (yet).
    UnknownPod,
    /// Its Pod does not carry its address.
    NotItsAddress,
    /// Its address is no IP address.
    NoAddress,
    /// Its Pod's account makes no SPIFFE id.
    NoIdentity,
    /// A peer's, and its address is one of our own cluster's.
    OwnRange,
    /// A peer's, and its address is no other machine's.
    Nowhere,
}

/// The endpoints that a slice gives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Built {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) ignored: Vec<Ignored>,
    /// Whether it names ready pods that are not known, or not at that address.
    pub(crate) lacks_pods: bool,
}

/// What surrounds a slice in its cluster.
pub(crate) struct Surroundings<'a, P, N> {
    pub(crate) namespace: &'a str,
    pub(crate) network: Option<&'a Network>,
    pub(crate) trust_domain: &'a TrustDomain,
    /// What a peer may bring in; `None` in the own cluster.
    pub(crate) import: Option<&'a Policy>,
    /// A Pod of the slice's namespace by its name.
    pub(crate) pod: P,
    /// A node's locality by its name.
    pub(crate) node: N,
}

impl Ignored {
    pub(crate) const ALL: [Self; 8] = [
        Self::NoPod,
        Self::OtherNamespace,
        Self::UnknownPod,
        Self::NotItsAddress,
        Self::NoAddress,
        Self::NoIdentity,
        Self::OwnRange,
        Self::Nowhere,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoPod => "no_pod",
            Self::OtherNamespace => "other_namespace",
            Self::UnknownPod => "unknown_pod",
            Self::NotItsAddress => "not_its_address",
            Self::NoAddress => "no_address",
            Self::NoIdentity => "no_identity",
            Self::OwnRange => "own_range",
            Self::Nowhere => "nowhere",
        }
    }
}

impl From<Refused> for Ignored {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::OwnRange => Self::OwnRange,
            Refused::Nowhere => Self::Nowhere,
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'a, P, N> Surroundings<'a, P, N>
where
    P: Fn(&str) -> Option<&'a PodFact>,
    N: Fn(&str) -> Option<&'a Locality>,
{
    /// The endpoints of `slice`.
    pub(crate) fn build(&self, slice: &SliceFact) -> Built {
        let mut built = Built::default();
        let ports: BTreeMap<Arc<str>, u16> = slice.ports.iter().cloned().collect();
        for entry in &slice.endpoints {
            match self.endpoint(entry, &ports) {
                Ok(endpoint) => built.endpoints.push(Arc::new(endpoint)),
                Err(reason) => {
                    let is_lacking = matches!(reason, Ignored::UnknownPod | Ignored::NotItsAddress);
                    built.lacks_pods |= entry.ready && is_lacking;
                    built.ignored.push(reason);
                }
            }
        }
        built
    }

    fn endpoint(
        &self,
        entry: &SliceEndpoint,
        ports: &BTreeMap<Arc<str>, u16>,
    ) -> Result<Endpoint, Ignored> {
        let name = match &entry.backing {
            Backing::Pod(name) => name,
            Backing::Elsewhere => return Err(Ignored::OtherNamespace),
            Backing::Nothing => return Err(Ignored::NoPod),
        };
        let address = entry.address.ok_or(Ignored::NoAddress)?;
        let pod = (self.pod)(name).ok_or(Ignored::UnknownPod)?;
        if !pod.addresses.contains(&address) {
            return Err(Ignored::NotItsAddress);
        }
        let network = pod.network.as_ref().or(self.network);
        if let Some(import) = self.import {
            import.pod(address, network)?;
        }
        let account = &pod.service_account;
        let identity = SpiffeId::workload(self.trust_domain, self.namespace, account);
        let locality = pod.locality.as_ref().or_else(|| (self.node)(&pod.node));
        Ok(Endpoint {
            address,
            ports: ports.clone(),
            pod: Arc::clone(name),
            workload: Arc::clone(&pod.workload),
            canonical_name: Arc::clone(&pod.canonical_name),
            canonical_revision: Arc::clone(&pod.canonical_revision),
            identity: identity.map_err(|_| Ignored::NoIdentity)?,
            network: network.cloned(),
            locality: locality.cloned().unwrap_or_default(),
            mesh_tls: pod.mesh_tls,
            ready: entry.ready,
        })
    }
}

/// Puts the endpoints of a service's slices together: sorted, each pod and address once, and
/// sharing what `old` has that did not change.
pub(crate) fn gather<'a>(
    slices: impl Iterator<Item = &'a Arc<Endpoint>>,
    old: &[Arc<Endpoint>],
) -> Vec<Arc<Endpoint>> {
    let mut all: Vec<Arc<Endpoint>> = slices.cloned().collect();
    all.sort_by(|a, b| place(a).cmp(&place(b)));
    let mut gathered: Vec<Arc<Endpoint>> = Vec::with_capacity(all.len());
    for endpoint in all {
        match gathered.last_mut() {
            Some(last) if place(last) == place(&endpoint) => *last = join(last, &endpoint),
            _ => gathered.push(endpoint),
        }
    }
    for endpoint in &mut gathered {
        let at = old.binary_search_by(|other| place(other).cmp(&place(endpoint)));
        if let Some(known) = at.ok().and_then(|index| old.get(index))
            && (Arc::ptr_eq(known, endpoint) || known == endpoint)
        {
            *endpoint = Arc::clone(known);
        }
    }
    gathered
}

/// Whether going from `old` to `new` takes something from somebody who uses it.
pub(crate) fn withdraws(old: &Shard, new: &Shard) -> bool {
    let port_gone = |port: &ServicePort| !new.ports.contains(port);
    narrows(&old.export, &new.export)
        || old.headless != new.headless
        || old.ports.iter().any(port_gone)
        || endpoints_withdrawn(&old.endpoints, &new.endpoints)
}

fn endpoints_withdrawn(old: &[Arc<Endpoint>], new: &[Arc<Endpoint>]) -> bool {
    let mut rest = new.iter().peekable();
    old.iter()
        .filter(|endpoint| endpoint.ready)
        .any(|endpoint| {
            while rest
                .next_if(|other| place(other) < place(endpoint))
                .is_some()
            {}
            match rest.peek() {
                Some(other) if place(other) == place(endpoint) => {
                    !Arc::ptr_eq(other, endpoint) && weakens(endpoint, other)
                }
                _ => true,
            }
        })
}

fn weakens(old: &Endpoint, new: &Endpoint) -> bool {
    let port_gone = |(name, port): (&Arc<str>, &u16)| new.ports.get(name) != Some(port);
    !new.ready
        || (old.mesh_tls && !new.mesh_tls)
        || old.network != new.network
        || old.identity != new.identity
        || old.ports.iter().any(port_gone)
}

fn narrows(old: &Export, new: &Export) -> bool {
    match (old, new) {
        (Export::Closed, _) | (_, Export::Everyone) => false,
        (Export::Only(old), Export::Only(new)) => !old.is_subset(new),
        (Export::Everyone, _) | (Export::Only(_), Export::Closed) => true,
    }
}

/// While an endpoint moves from one slice to another it stands in both; slices of one service
/// also give one pod different ports.
fn join(one: &Endpoint, other: &Endpoint) -> Arc<Endpoint> {
    let mut joined = one.clone();
    let others = other
        .ports
        .iter()
        .map(|(name, port)| (Arc::clone(name), *port));
    joined.ports.extend(others);
    joined.ready |= other.ready;
    Arc::new(joined)
}

fn place(endpoint: &Endpoint) -> (&str, IpAddr) {
    (&endpoint.pod, endpoint.address)
}
