//! A route as its source states it: the same value whether xDS or a file said it.
//!
//! Two equal specs make the same route, so a table is changed by comparing them.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::config::{Eject, Span};

/// One service port that may be reached through the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteSpec {
    /// The listener whose clients it serves.
    #[serde(default = "mesh", skip_serializing_if = "is_mesh")]
    pub listener: Arc<str>,
    /// The server name, in lower case; `*.suffix` for all names below one, `*` for any.
    pub sni: Arc<str>,
    /// Protocols that let a client in; null lets in whoever knows the name.
    #[serde(default = "mesh_alpn")]
    pub alpn: Option<Arc<[Box<str>]>>,
    /// Whether clients are closed instead, because the control plane says more of this
    /// name than is understood here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub closed: bool,
    /// The service, for metrics and logs.
    #[serde(default)]
    pub service: Arc<Service>,
    /// A limit for dialling beside `dial.timeout`; the lower one counts.
    #[serde(default)]
    pub connect_timeout: Option<Span>,
    /// In place of `relay.idle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Span>,
    /// The longest life of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<Span>,
    /// Connections open at once, over all workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// When an endpoint is ejected, in place of `dial.eject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eject: Option<Eject>,
    /// Whether the client's address alone chooses among endpoints, so that it stays with
    /// one as long as that one stays.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_source: bool,
    /// Where it is served.
    #[serde(default)]
    pub endpoints: Vec<EndpointSpec>,
}

/// A server name that clients of a listener ask for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// The listener's.
    pub listener: Arc<str>,
    /// As in a [`RouteSpec`].
    pub sni: Arc<str>,
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

impl RouteSpec {
    /// A route of the mesh's own listener: for mesh protocols, without limits or endpoints.
    #[must_use]
    pub fn of(sni: Arc<str>) -> Self {
        Self {
            listener: mesh(),
            sni,
            alpn: mesh_alpn(),
            closed: false,
            service: Arc::default(),
            connect_timeout: None,
            idle_timeout: None,
            max_duration: None,
            max_connections: None,
            eject: None,
            by_source: false,
            endpoints: Vec::new(),
        }
    }

    /// By what clients find it, together with its protocols.
    #[must_use]
    pub fn name(&self) -> Name {
        Name {
            listener: Arc::clone(&self.listener),
            sni: Arc::clone(&self.sni),
        }
    }
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
pub fn mesh_alpn() -> Option<Arc<[Box<str>]>> {
    Some(MESH_ALPN.iter().map(|&protocol| protocol.into()).collect())
}

/// The name of the listener that `listen.mesh` opens.
pub const MESH: &str = "mesh";

fn mesh() -> Arc<str> {
    MESH.into()
}

fn is_mesh(listener: &Arc<str>) -> bool {
    **listener == *MESH
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
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
