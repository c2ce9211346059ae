//! Kubernetes objects → the few facts that are used. The object is dropped right after.
//!
//! Pure: each function takes one object and returns its fact, or `None` when the object says
//! nothing that we use (to the picture that is the same as being gone).

mod pod;
mod service;
mod slice;

use std::{collections::HashSet, sync::Arc};

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::core::ObjectMeta;

pub(crate) use self::{
    pod::{PodFact, pod},
    service::{GatewayFact, ServiceFact, service},
    slice::{Backing, SliceEndpoint, SliceFact, slice},
};
use crate::model::{Locality, Network, ServiceKey};

/// The kinds of objects that are watched in each cluster, in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    EndpointSlice,
    MeshConfig,
    Namespace,
    Node,
    Pod,
    Service,
    ServiceExport,
}

/// Namespace and name of an object of any kind; the namespace is empty for nodes and
/// namespaces.
pub(crate) type ObjectKey = ServiceKey;

/// What an object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    Service(ServiceFact),
    Slice(SliceFact),
    Pod(PodFact),
    Node(NodeFact),
    /// The system namespace's network.
    Namespace(Option<Network>),
    /// The trust domain as the mesh's configuration writes it.
    MeshConfig(String),
    ServiceExport,
}

/// What a node says of itself and of its pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeFact {
    pub(crate) locality: Locality,
    /// Where its pods are; empty for a node of another cluster.
    pub(crate) pod_ranges: Vec<IpNet>,
}

/// Texts that many objects share, stored once.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::EndpointSlice,
        Self::MeshConfig,
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::Service,
        Self::ServiceExport,
    ];

    /// Its resource's name, as in metrics and status.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::EndpointSlice => "endpointslices",
            Self::MeshConfig => "configmaps",
            Self::Namespace => "namespaces",
            Self::Node => "nodes",
            Self::Pod => "pods",
            Self::Service => "services",
            Self::ServiceExport => "serviceexports",
        }
    }

    /// Whether a cluster may do without: not installed, or not readable for us.
    pub(crate) fn is_optional(self) -> bool {
        matches!(self, Self::MeshConfig | Self::Node | Self::ServiceExport)
    }
}

impl Interner {
    /// The stored copy of `text`.
    pub(crate) fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(stored) = self.texts.get(text) {
            return Arc::clone(stored);
        }
        if self.texts.len() >= self.sweep_at {
            self.texts.retain(|stored| Arc::strong_count(stored) > 1);
            self.sweep_at = (2 * self.texts.len()).max(SWEEP_AT_LEAST);
        }
        let stored: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&stored));
        stored
    }

    /// The key of an object; `None` when it has no name.
    pub(crate) fn key(&mut self, metadata: &ObjectMeta) -> Option<ObjectKey> {
        Some(ObjectKey {
            namespace: self.intern(metadata.namespace.as_deref().unwrap_or_default()),
            // Most names are of one object only.
            name: metadata.name.as_deref()?.into(),
        })
    }
}

/// A node of the own cluster. A range that is none is left out: it covers no pod.
pub(crate) fn own_node(node: &Node, interner: &mut Interner) -> NodeFact {
    let written = node.spec.as_ref();
    let written = written.and_then(|spec| spec.pod_cidrs.as_deref());
    let ranges = written.unwrap_or_default().iter();
    NodeFact {
        locality: locality(&node.metadata, interner),
        pod_ranges: ranges.filter_map(|range| range.parse().ok()).collect(),
    }
}

/// A node's locality, of its labels.
pub(crate) fn locality(metadata: &ObjectMeta, interner: &mut Interner) -> Locality {
    let mut label = |names: &[&str]| {
        let value = names.iter().find_map(|name| label(metadata, name));
        interner.intern(value.unwrap_or_default())
    };
    Locality {
        region: label(&[REGION, "failure-domain.beta.kubernetes.io/region"]),
        zone: label(&[ZONE, "failure-domain.beta.kubernetes.io/zone"]),
        subzone: label(&[SUBZONE]),
    }
}

/// The network that a (system) namespace is labelled with.
pub(crate) fn namespace(metadata: &ObjectMeta) -> Option<Network> {
    network(metadata)
}

/// The trust domain in the `ConfigMap` `istio`; `None` when it names none.
pub(crate) fn mesh_config(map: &ConfigMap) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct MeshConfig {
        trust_domain: Option<String>,
    }
    let text = map.data.as_ref()?.get("mesh")?;
    let mesh: MeshConfig = serde_yaml_ng::from_str(text).ok()?;
    mesh.trust_domain.filter(|domain| !domain.is_empty())
}

/// The label `topology.istio.io/network`.
fn network(metadata: &ObjectMeta) -> Option<Network> {
    label(metadata, NETWORK)
        .filter(|n| !n.is_empty())
        .map(Network::from)
}

fn label<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(name).map(String::as_str)
}

fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

const NETWORK: &str = "topology.istio.io/network";
const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const SUBZONE: &str = "topology.istio.io/subzone";
const SWEEP_AT_LEAST: usize = 1024;

#[cfg(test)]
mod tests;
