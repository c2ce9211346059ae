//! The one picture of all clusters: facts, not Kubernetes objects.
//!
//! A fact is keyed by the cluster that it came from, and carries that cluster's
//! network and trust domain, never the reader's. A [`Mesh`] is immutable; the next
//! one shares every `Arc` whose content did not change, so a consumer finds what
//! changed by comparing pointers.
//!
//! This module never decides what a consumer may see: that is `horizon`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use trust::identity::{SpiffeId, TrustDomain};

/// Everything known at one moment about all clusters.
#[derive(Debug, Clone, Default)]
pub struct Mesh {
    /// Grows by one with each publication.
    pub generation: u64,
    /// Every member cluster whose facts are complete, the own one included.
    pub clusters: BTreeMap<ClusterId, Arc<Cluster>>,
    /// Services by namespace and name, each with one shard per cluster that has it.
    pub services: BTreeMap<ServiceKey, Arc<Service>>,
    /// Clusters that were heard of and whose facts were never complete: what they add
    /// is unknown, not empty. None of them is in `clusters` or has a shard.
    pub missing: BTreeSet<ClusterId>,
}

/// What belongs to a cluster as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Its name, the key of the remote secret.
    pub id: ClusterId,
    /// The network that its pods are in unless one says otherwise; `None` when the
    /// cluster's system namespace names none: then it is reachable from everywhere.
    pub network: Option<Network>,
    /// The trust domain of identities in this cluster.
    pub trust_domain: TrustDomain,
    /// Addresses that lead into networks, as this cluster's gateway Services tell.
    pub gateways: BTreeSet<Gateway>,
    /// Where its pods are, as its nodes say (`spec.podCIDRs`). Known of the own cluster
    /// only: its peers' nodes are asked for their labels and no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pod_ranges: Vec<IpNet>,
}

/// One address of an east-west gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// The network that it leads into.
    pub network: Network,
    /// Its address as other networks dial it.
    pub address: IpAddr,
    /// The port of mesh traffic, 15443 by default.
    pub port: u16,
}

/// A service of one name and namespace over all clusters (namespace sameness).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Namespace and name.
    pub key: ServiceKey,
    /// What each cluster contributes.
    pub shards: BTreeMap<ClusterId, Arc<Shard>>,
}

/// What one cluster contributes to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shard {
    /// Whether, and to whom, this cluster offers the service.
    pub export: Export,
    /// `clusterIP: None`.
    pub headless: bool,
    /// Service ports, sorted by number; UDP and SCTP ports are left out.
    pub ports: Vec<ServicePort>,
    /// Endpoints, sorted by pod and address, ready ones and others. Empty in another
    /// cluster's shard that is not offered to the own cluster: nobody here may see them.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// Who outside its cluster may reach a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Export {
    /// Not marked: nobody.
    Closed,
    /// Marked without a list: every other cluster.
    Everyone,
    /// Marked with `isthmus.io/to`: these clusters.
    Only(BTreeSet<ClusterId>),
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// The Service's port number: the one in SNI and cluster names.
    pub number: u16,
    /// Its name, empty when unnamed; endpoints are matched by it.
    pub name: Arc<str>,
    /// Whether the bytes are HTTP (by `appProtocol` or the name's prefix).
    pub http: bool,
}

/// One pod (or `WorkloadEntry`) behind a service, never without its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The address that the pod answers on inside its network.
    pub address: IpAddr,
    /// Target port by service port name.
    pub ports: BTreeMap<Arc<str>, u16>,
    /// Name of the pod, in the service's namespace.
    pub pod: Arc<str>,
    /// Name of the workload that owns the pod (Deployment), else the pod's.
    pub workload: Arc<str>,
    /// Label `service.istio.io/canonical-name`, else `app.kubernetes.io/name`, else `app`,
    /// else the workload.
    pub canonical_name: Arc<str>,
    /// Label `service.istio.io/canonical-revision`, else `app.kubernetes.io/version`, else
    /// `version`, else `latest`.
    pub canonical_revision: Arc<str>,
    /// Who answers there.
    pub identity: SpiffeId,
    /// The network it is in: the pod's label, else its cluster's.
    pub network: Option<Network>,
    /// Region, zone and subzone of its node.
    pub locality: Locality,
    /// Whether it takes mesh mTLS (`security.istio.io/tlsMode: istio`).
    pub mesh_tls: bool,
    /// Whether it may be offered.
    pub ready: bool,
}

/// Namespace and name of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceKey {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// Region, zone, subzone; empty parts where the node says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Locality {
    /// `topology.kubernetes.io/region`.
    pub region: Arc<str>,
    /// `topology.kubernetes.io/zone`.
    pub zone: Arc<str>,
    /// `topology.istio.io/subzone`.
    pub subzone: Arc<str>,
}

/// The name of a member cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(Arc<str>);

/// The name of a network: pods of one network reach one another directly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Network(Arc<str>);

impl Service {
    /// The ports of the merged service: those of the first cluster, in order of
    /// preference, that has the service (its own cluster first, as istiod does).
    pub fn ports<'a>(&'a self, own: &ClusterId) -> &'a [ServicePort] {
        let first = self.shards.get(own).or_else(|| self.shards.values().next());
        first.map_or(&[], |shard| &shard.ports)
    }
}

impl Export {
    /// Whether the service is offered to `cluster`.
    #[must_use]
    pub fn admits(&self, cluster: &ClusterId) -> bool {
        match self {
            Self::Closed => false,
            Self::Everyone => true,
            Self::Only(clusters) => clusters.contains(cluster),
        }
    }
}

impl ServiceKey {
    /// A key from its parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// `name.namespace.svc.<domain>`.
    #[must_use]
    pub fn host(&self, domain: &str) -> String {
        format!("{}.{}.svc.{domain}", self.name, self.namespace)
    }

    /// The SNI of mesh traffic to `port`: Istio's SNI-DNAT form without a subset
    /// (`pilot/pkg/model/service.go:BuildDNSSrvSubsetKey`).
    #[must_use]
    pub fn sni(&self, port: u16, domain: &str) -> String {
        format!("outbound_.{port}_._.{}", self.host(domain))
    }

    /// The name of a sidecar's cluster for `port`.
    #[must_use]
    pub fn outbound(&self, port: u16, domain: &str) -> String {
        format!("outbound|{port}||{}", self.host(domain))
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

macro_rules! name {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $type {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(ClusterId);
name!(Network);
