//! A route as its source states it: the same value whether xDS or a file said it.
//!
//! Two equal specs make the same route, so a table is changed by comparing them.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::config::Span;

/// One service port that may be reached through the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteSpec {
    /// The server name, in lower case.
    pub sni: Arc<str>,
    /// Protocols that let a client in. Never empty: an empty list lets nobody in.
    #[serde(default = "mesh_alpn")]
    pub alpn: Arc<[Box<str>]>,
    /// The service, for metrics and logs.
    #[serde(default)]
    pub service: Service,
    /// A limit for dialling beside `dial.timeout`; the lower one counts.
    #[serde(default)]
    pub connect_timeout: Option<Span>,
    /// Where it is served.
    #[serde(default)]
    pub endpoints: Vec<EndpointSpec>,
}

/// A service's names, as Istio's metrics carry them. Empty parts are unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Service {
    /// `helloworld.sample.svc.cluster.local`.
    pub host: Box<str>,
    /// `helloworld`.
    pub name: Box<str>,
    /// `sample`.
    pub namespace: Box<str>,
}

/// One address of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointSpec {
    /// Address and target port.
    pub address: SocketAddr,
    /// Its share among endpoints of the same priority.
    #[serde(default = "one")]
    pub weight: NonZeroU32,
    /// 0 is used first.
    #[serde(default)]
    pub priority: u8,
    /// Whether it may be used.
    #[serde(default)]
    pub health: Health,
    /// Who runs there.
    #[serde(default)]
    pub workload: Arc<Workload>,
}

/// What the control plane thinks of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// It may be used.
    #[default]
    Healthy,
    /// It may not.
    Unhealthy,
    /// It goes away: old connections stay, new ones go elsewhere.
    Draining,
}

/// Istio's five names of a workload. Empty parts are unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Workload {
    /// The Deployment or its like.
    pub name: Box<str>,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Label `service.istio.io/canonical-name`.
    pub canonical_name: Box<str>,
    /// Label `service.istio.io/canonical-revision`; empty means `latest`.
    pub canonical_revision: Box<str>,
    /// The cluster that it runs in.
    pub cluster: Box<str>,
}

impl Workload {
    /// Reads Istio's endpoint metadata `workload;namespace;name;revision;cluster`; parts
    /// that are missing are unknown
    /// (`pilot/pkg/networking/util/util.go:AppendLbEndpointMetadata`).
    #[must_use]
    pub fn from_metadata(text: &str) -> Self {
        let mut parts = text.split(';').map(Box::from);
        let mut next = || parts.next().unwrap_or_default();
        Self {
            name: next(),
            namespace: next(),
            canonical_name: next(),
            canonical_revision: next(),
            cluster: next(),
        }
    }
}

/// The protocols by which Istio's sidecars say that they speak mTLS of the mesh.
#[must_use]
pub fn mesh_alpn() -> Arc<[Box<str>]> {
    MESH_ALPN.iter().map(|&protocol| protocol.into()).collect()
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

const MESH_ALPN: [&str; 5] = [
    "istio",
    "istio-peer-exchange",
    "istio-http/1.0",
    "istio-http/1.1",
    "istio-h2",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn istios_metadata_gives_five_names() {
        let workload = Workload::from_metadata("reviews-v1;default;reviews;;cluster1");
        assert_eq!(&*workload.name, "reviews-v1");
        assert_eq!(&*workload.canonical_revision, "");
        assert_eq!(&*workload.cluster, "cluster1");
        assert_eq!(Workload::from_metadata(";;;;").name, "".into());
        assert_eq!(&*Workload::from_metadata("a;b").namespace, "b");
    }
}
