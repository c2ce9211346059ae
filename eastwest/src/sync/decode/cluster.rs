//! A cluster: one service port, named by the SNI that it is reached by.

use std::time::Duration;

use envoy_types::pb::envoy::config::{
    cluster::v3::{
        Cluster as Message,
        cluster::{ClusterDiscoveryType, DiscoveryType},
    },
    core::v3::Metadata,
};
use envoy_types::pb::google::protobuf::{Duration as Seconds, value::Kind as ValueKind};

use super::{Unfit, field, kind, message, not_understood, text};
use crate::{config::Span, route::Service};

/// What of a cluster decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The name under which its assignment is asked for.
    pub assignment: String,
    /// The service.
    pub service: Service,
    /// A limit for dialling.
    pub connect_timeout: Option<Span>,
}

impl Cluster {
    /// Decodes a cluster.
    ///
    /// # Errors
    /// [`Unfit`], when it is none, has no EDS, or wants TLS on the way to its endpoints
    /// (bytes of the mesh's own TLS pass unopened or not at all).
    pub fn decode(bytes: &[u8]) -> Result<Self, Unfit> {
        let cluster: Message = message(bytes)?;
        let eds = ClusterDiscoveryType::Type(DiscoveryType::Eds.into());
        if cluster.cluster_discovery_type != Some(eds) {
            return not_understood("a cluster that is not of type EDS");
        }
        if cluster.transport_socket.is_some() || !cluster.transport_socket_matches.is_empty() {
            return not_understood("a cluster with a transport socket");
        }
        let alias = cluster.eds_cluster_config.map(|eds| eds.service_name);
        Ok(Self {
            assignment: alias
                .filter(|name| !name.is_empty())
                .unwrap_or(cluster.name),
            service: service(cluster.metadata.as_ref()),
            connect_timeout: cluster.connect_timeout.and_then(span),
        })
    }
}

/// Istio's `services[0]` of {host, name, namespace}; unknown where it is not said.
fn service(metadata: Option<&Metadata>) -> Service {
    let first = || {
        let istio = metadata?.filter_metadata.get("istio")?;
        let ValueKind::ListValue(list) = field(istio, "services")? else {
            return None;
        };
        match kind(list.values.first()?)? {
            ValueKind::StructValue(first) => Some(first),
            _ => None,
        }
    };
    let Some(first) = first() else {
        return Service::default();
    };
    let part = |key| field(first, key).and_then(text).unwrap_or_default().into();
    Service {
        host: part("host"),
        name: part("name"),
        namespace: part("namespace"),
    }
}

/// A time above zero; none of another sort means anything.
fn span(of: Seconds) -> Option<Span> {
    let seconds = u64::try_from(of.seconds).ok()?;
    let nanos = u32::try_from(of.nanos).ok()?;
    let time = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()))?;
    (!time.is_zero()).then_some(Span(time))
}
