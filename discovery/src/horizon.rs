//! What one viewer is told: from the picture of all clusters to the addresses that it
//! can reach from where it stands, with weights.
//!
//! Pods of the viewer's network are told as they are. Pods of another network stand
//! behind the gateways of that network and are counted as their weight (istiod's split
//! horizon, `EndpointsByNetworkFilter`). A pod that cannot be reached is never told as a
//! raw address: it is withheld, with a [`Reason`].
//!
//! This module is pure, and never decides what a viewer *is*: that is for whoever
//! checked its certificate.

mod gateways;
mod tally;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use trust::identity::SpiffeId;

use crate::model::{
    ClusterId, Endpoint, Export, Locality, Network, Service, ServiceKey, ServicePort, Shard,
};
use tally::Tally;

pub use gateways::Gateways;

/// Where a viewer stands. Viewers that stand at one place are told the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standpoint {
    /// The cluster that it runs in.
    pub cluster: ClusterId,
    /// The network that it dials from; `None` reaches every address directly.
    pub network: Option<Network>,
    /// What it does with what it is told.
    pub role: Role,
}

/// What a viewer does with what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Calls services: those of its own cluster, and those exported to it.
    Sidecar,
    /// Lets other networks in: to the exported services of its own network only, those of its
    /// own cluster and of others that stand there. Then one gateway is enough for a network
    /// (as in istiod), and each splits what it lets in as the endpoints are.
    Gateway,
}

/// A service as one standpoint sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Namespace and name.
    pub key: ServiceKey,
    /// Its ports, each with what answers there.
    pub ports: Vec<SeenPort>,
    /// Who may answer: the identities of all endpoints of all clusters in view, ready
    /// or not, so that readiness alone never changes whom a client accepts.
    pub identities: BTreeSet<SpiffeId>,
}

/// A port of a service, and what answers there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPort {
    /// Number, name, protocol.
    pub port: ServicePort,
    /// Targets by locality, both in order. No group is empty, no weight is 0, no address
    /// comes twice (Envoy would keep only the first), and all weights sum to less than
    /// 2^32.
    pub groups: Vec<Group>,
    /// Endpoints that are not told, and why.
    pub withheld: Withheld,
}

/// The targets of one locality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Where the *endpoints* are, also those behind a gateway.
    pub locality: Locality,
    /// What to dial, sorted by address.
    pub targets: Vec<Target>,
}

/// An address to dial, and its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Its share among all targets of the port, at least 1.
    pub weight: u32,
    /// What stands there.
    pub via: Via,
}

/// What stands at a target's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// The endpoint itself.
    Pod(ClusterId, Arc<Endpoint>),
    /// A gateway of another network; the cluster of the endpoints behind it, where it is
    /// one.
    Gateway(Option<ClusterId>),
}

/// Why an endpoint is not told to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is not ready.
    NotReady,
    /// Its cluster does not offer the service to this viewer.
    NotExported,
    /// Its cluster's service has no such port, or the endpoint no target for it.
    NoPort,
    /// It is in another network, and no gateway into that network is known.
    NoGateway,
    /// It is in another network (or the viewer is a gateway) and takes no mesh mTLS.
    NoMeshTls,
    /// The viewer is a gateway and the endpoint is in a network that it does not serve.
    OtherNetwork,
    /// Another endpoint has the same address and port.
    DuplicateAddress,
}

/// How many endpoints are withheld, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Withheld([u32; Reason::ALL.len()]);

impl Standpoint {
    /// What this standpoint is told of `service`; `None` when it is told nothing, not
    /// even that the service exists.
    ///
    /// The ports are those of the own cluster, else those of the first other cluster in
    /// view, as in istiod. Endpoints of a cluster are matched by the port *number* in that
    /// cluster's own Service, since the number is what the SNI carries.
    #[must_use]
    pub fn see(&self, service: &Service, gateways: &Gateways) -> Option<Seen> {
        let own = service.shards.get_key_value(&self.cluster);
        let others = service.shards.iter().filter(|(id, _)| **id != self.cluster);
        let shards: Vec<(&ClusterId, &Shard)> = match self.role {
            Role::Sidecar => own.into_iter().chain(others).map(deref).collect(),
            Role::Gateway => {
                let beside = others.filter(|(_, shard)| self.stands_beside(shard));
                own.into_iter().chain(beside).map(deref).collect()
            }
        };
        let in_view = || shards.iter().filter(|(id, shard)| self.admits(id, shard));
        let (_, first) = in_view().next()?;
        let identities = in_view()
            .flat_map(|(_, shard)| &shard.endpoints)
            .map(|endpoint| endpoint.identity.clone())
            .collect();
        let ports = (first.ports.iter())
            .map(|port| self.see_port(port, &shards, gateways))
            .collect();
        Some(Seen {
            key: service.key.clone(),
            ports,
            identities,
        })
    }

    fn see_port(
        &self,
        port: &ServicePort,
        shards: &[(&ClusterId, &Shard)],
        gateways: &Gateways,
    ) -> SeenPort {
        let mut tally = Tally::default();
        for (cluster, shard) in shards {
            let name = shard.ports.iter().find(|p| p.number == port.number);
            for endpoint in &shard.endpoints {
                let target = name.and_then(|port| endpoint.ports.get(&port.name));
                match self.reach(cluster, shard, endpoint, target.copied(), gateways) {
                    Ok(Reach::Direct(port)) => tally.pod(cluster, endpoint, port),
                    Ok(Reach::Through(gateways)) => tally.behind(cluster, endpoint, gateways),
                    Err(reason) => tally.withhold(reason),
                }
            }
        }
        let (groups, withheld) = tally.finish();
        SeenPort {
            port: port.clone(),
            groups,
            withheld,
        }
    }

    /// How an endpoint is reached from here, or why it is not told.
    fn reach<'g>(
        &self,
        cluster: &ClusterId,
        shard: &Shard,
        endpoint: &Endpoint,
        target: Option<u16>,
        gateways: &'g Gateways,
    ) -> Result<Reach<'g>, Reason> {
        if !self.admits(cluster, shard) {
            return Err(Reason::NotExported);
        }
        let port = target.ok_or(Reason::NoPort)?;
        if !endpoint.ready {
            return Err(Reason::NotReady);
        }
        let there = match (&self.network, &endpoint.network) {
            (Some(here), Some(there)) if here != there => Some(there),
            _ => None,
        };
        // What does not say where it is is at hand for its own cluster alone.
        if self.role == Role::Gateway && *cluster != self.cluster && !self.at_hand(endpoint) {
            return Err(Reason::OtherNetwork);
        }
        match (self.role, there) {
            (Role::Gateway, Some(_)) => Err(Reason::OtherNetwork),
            (Role::Gateway, None) if !endpoint.mesh_tls => Err(Reason::NoMeshTls),
            (_, None) => Ok(Reach::Direct(port)),
            // A gateway has a route only for what its cluster exports, also to itself.
            (_, Some(_)) if shard.export == Export::Closed => Err(Reason::NotExported),
            (_, Some(_)) if !endpoint.mesh_tls => Err(Reason::NoMeshTls),
            (_, Some(network)) => match gateways.into_network(network, cluster) {
                [] => Err(Reason::NoGateway),
                found => Ok(Reach::Through(found)),
            },
        }
    }

    /// Whether what `cluster` contributes to a service is told here at all.
    fn admits(&self, cluster: &ClusterId, shard: &Shard) -> bool {
        let own = *cluster == self.cluster;
        match self.role {
            Role::Sidecar => own || shard.export.admits(&self.cluster),
            Role::Gateway => shard.export != Export::Closed,
        }
    }

    /// Whether anything of another cluster's shard stands in the network of this gateway.
    fn stands_beside(&self, shard: &Shard) -> bool {
        shard
            .endpoints
            .iter()
            .any(|endpoint| self.at_hand(endpoint))
    }

    /// Whether an endpoint says that it is in the network of this standpoint.
    fn at_hand(&self, endpoint: &Endpoint) -> bool {
        self.network.is_some() && self.network == endpoint.network
    }
}

impl Role {
    /// As a metric's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Gateway => "gateway",
        }
    }
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::NotReady,
        Self::NotExported,
        Self::NoPort,
        Self::NoGateway,
        Self::NoMeshTls,
        Self::OtherNetwork,
        Self::DuplicateAddress,
    ];

    /// As a metric's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotReady => "not_ready",
            Self::NotExported => "not_exported",
            Self::NoPort => "no_port",
            Self::NoGateway => "no_gateway",
            Self::NoMeshTls => "no_mesh_tls",
            Self::OtherNetwork => "other_network",
            Self::DuplicateAddress => "duplicate_address",
        }
    }
}

impl Withheld {
    /// How many are withheld for `reason`.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u32 {
        self.0[reason as usize]
    }

    /// Counts one more.
    pub fn add(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }

    /// Counts those of another port.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

/// How an endpoint is reached.
enum Reach<'g> {
    /// At its own address and this port.
    Direct(u16),
    /// By any of these gateways.
    Through(&'g [(IpAddr, u16)]),
}

fn deref<'a>((id, shard): (&'a ClusterId, &'a Arc<Shard>)) -> (&'a ClusterId, &'a Shard) {
    (id, shard)
}
