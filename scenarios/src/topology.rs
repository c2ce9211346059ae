//! What stands where: clusters, networks, workloads, as data.
//!
//! Both clusters use the same pod range on purpose: an address says nothing
//! outside its cluster, and whoever believes it does is found out.

pub mod mesh;

use std::{collections::BTreeMap, net::Ipv4Addr};

/// The range of pod addresses in every cluster.
pub const POD_RANGE: &str = "10.10.0.0/24";
/// The range of service addresses in every cluster.
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
/// Where the pods of a cluster find their node.
pub const NODE_ON_POD_BRIDGE: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 1);
/// The desk: where the test stands, on the wan.
pub const DESK: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 2);
/// Port of every API server.
pub const API_PORT: u16 = 6443;
/// Port of mesh traffic at a gateway.
pub const MESH_PORT: u16 = 15443;
/// Port of discovery's xDS.
pub const XDS_PORT: u16 = 15112;
/// Port of discovery's health, metrics and debug pages.
pub const DISCOVERY_DEBUG_PORT: u16 = 15114;
/// Port of a sidecar's outbound listener.
pub const OUTBOUND_PORT: u16 = 15001;
/// Port that the application listens on, in its pod.
pub const APP_PORT: u16 = 5000;
/// Port of every application's Service.
pub const SERVICE_PORT: u16 = 80;
/// Namespace of remote secrets, the mesh's ConfigMap and the gateway.
pub const SYSTEM_NAMESPACE: &str = "istio-system";
/// Account and workload name of the east-west gateway.
pub const GATEWAY: &str = "istio-eastwestgateway";

/// The trust domain of all; not the default, so that nobody gets it by guessing.
pub const TRUST_DOMAIN: &str = "mesh.example";

/// A cluster as it is planned.
#[derive(Debug, Clone)]
pub struct ClusterPlan {
    /// Its name: the key in remote secrets.
    pub name: String,
    /// The network that its pods are in.
    pub network: String,
    /// The trust domain, as its ConfigMap `istio` says.
    pub trust_domain: String,
    /// Region of its node.
    pub region: String,
    /// Zone of its node.
    pub zone: String,
    /// Its number, from 1: decides its addresses.
    pub number: u8,
}

impl ClusterPlan {
    /// `c1` in `network1`, and so on, each in a region of its own.
    #[must_use]
    pub fn numbered(number: u8) -> Self {
        Self {
            name: format!("c{number}"),
            network: format!("network{number}"),
            trust_domain: TRUST_DOMAIN.to_owned(),
            region: format!("region{number}"),
            zone: format!("region{number}-a"),
            number,
        }
    }

    /// The same in this network.
    #[must_use]
    pub fn in_network(mut self, network: &str) -> Self {
        network.clone_into(&mut self.network);
        self
    }

    /// The node's address on the wan, where the API server listens.
    #[must_use]
    pub fn node(&self) -> Ipv4Addr {
        Ipv4Addr::new(172, 31, 0, 10 + self.number)
    }

    /// The gateway's address on the wan.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(172, 31, 0, 20 + self.number)
    }

    /// The address of a second gateway on the wan.
    #[must_use]
    pub fn other_gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(172, 31, 0, 30 + self.number)
    }

    /// The API server as others reach it.
    #[must_use]
    pub fn api(&self) -> String {
        format!("https://{}:{API_PORT}", self.node())
    }

    /// The name of its one Node.
    #[must_use]
    pub fn node_name(&self) -> String {
        format!("{}-node", self.name)
    }

    /// The labels by which its node says where it is.
    #[must_use]
    pub fn node_labels(&self) -> BTreeMap<String, String> {
        labels(&[
            ("topology.kubernetes.io/region", &self.region),
            ("topology.kubernetes.io/zone", &self.zone),
        ])
    }

    /// `spiffe://<trust domain>/ns/<namespace>/sa/<account>`.
    #[must_use]
    pub fn identity(&self, namespace: &str, account: &str) -> String {
        format!("spiffe://{}/ns/{namespace}/sa/{account}", self.trust_domain)
    }
}

/// Pods of one kind, as a Deployment would make them.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The Deployment's name.
    pub name: &'static str,
    /// Its namespace.
    pub namespace: &'static str,
    /// Its service account.
    pub account: &'static str,
    /// Labels of its pods.
    pub labels: BTreeMap<String, String>,
    /// What runs in its pods.
    pub role: Role,
    /// The address of its first pod, where that matters.
    pub address: Option<Ipv4Addr>,
}

impl Workload {
    /// One in `sample`.
    #[must_use]
    pub fn new(
        name: &'static str,
        account: &'static str,
        labels: BTreeMap<String, String>,
        role: Role,
    ) -> Self {
        Self {
            name,
            namespace: "sample",
            account,
            labels,
            role,
            address: None,
        }
    }

    /// The same, its first pod at the address that ends in `last`.
    #[must_use]
    pub fn at(mut self, last: u8) -> Self {
        self.address = Some(pod_address(last));
        self
    }
}

/// What runs in a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The application, answering with its version, behind a sidecar.
    Hello {
        /// What it calls itself.
        version: &'static str,
    },
    /// The application without a sidecar, open to its network.
    Bare {
        /// What it calls itself.
        version: &'static str,
    },
    /// A sidecar that the test's clients call through.
    Client,
    /// Our east-west gateway, with a second leg on the wan.
    Gateway,
    /// Our discovery.
    Discovery,
    /// What the Deployment of this name says, as a chart installed it: its images are the
    /// world's programs, and webhooks have their say.
    Charted {
        /// The address of a second leg, on the wan.
        wan: Option<Ipv4Addr>,
    },
    /// The application, or nothing, in a pod whose sidecar istiod injects.
    Injected {
        /// What it calls itself.
        version: Option<&'static str>,
        /// Where its sidecar finds istiod, if that is not its own cluster's.
        istiod: Option<Ipv4Addr>,
    },
}

/// A Service.
#[derive(Debug, Clone)]
pub struct ServicePlan {
    /// Its name.
    pub name: &'static str,
    /// Its namespace.
    pub namespace: &'static str,
    /// The pods behind it.
    pub selector: BTreeMap<String, String>,
    /// Whether it is offered to other clusters.
    pub exported: bool,
}

impl ServicePlan {
    /// One in `sample`, in front of the pods with these labels.
    #[must_use]
    pub fn new(name: &'static str, selector: &[(&str, &str)], exported: bool) -> Self {
        Self {
            name,
            namespace: "sample",
            selector: labels(selector),
            exported,
        }
    }
}

/// The pod addresses of one cluster; each is given once, so that no neighbour
/// remembers an address by its former owner.
#[derive(Debug)]
pub struct Addresses {
    next: u8,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { next: 100 }
    }
}

impl Addresses {
    /// The next free one; those below `.100` are for plans to name.
    pub fn take(&mut self) -> Option<Ipv4Addr> {
        let last = self.next;
        self.next = last.checked_add(1).filter(|next| *next < 255)?;
        Some(pod_address(last))
    }
}

/// The pod address that ends in `last`.
#[must_use]
pub const fn pod_address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 10, 0, last)
}

/// Labels from pairs.
#[must_use]
pub fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Labels of pods that have a sidecar: these, and the mark that they speak mTLS.
#[must_use]
pub fn in_mesh(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels(&[pairs, &[("security.istio.io/tlsMode", "istio")]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_meet_on_the_wan_without_sharing_an_address() {
        let wan: std::collections::BTreeSet<_> = [1, 2]
            .map(ClusterPlan::numbered)
            .iter()
            .flat_map(|plan| [plan.node(), plan.gateway(), plan.other_gateway()])
            .chain([DESK])
            .collect();
        assert_eq!(wan.len(), 7);
    }

    #[test]
    fn an_address_is_given_once_and_then_no_more() {
        let mut addresses = Addresses::default();
        let given: Vec<_> = std::iter::from_fn(|| addresses.take()).collect();
        assert_eq!(given.first(), Some(&pod_address(100)));
        assert!(given.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(given.last() < Some(&pod_address(255)));
    }
}
