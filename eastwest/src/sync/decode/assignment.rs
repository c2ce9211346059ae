//! The endpoints of a cluster.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
};

use envoy_types::pb::envoy::config::{
    core::v3::{
        Address, HealthStatus, SocketAddress, address::Address as AddressKind,
        socket_address::PortSpecifier,
    },
    endpoint::v3::{
        ClusterLoadAssignment, Endpoint as Message, LbEndpoint, LocalityLbEndpoints,
        lb_endpoint::HostIdentifier,
    },
};

use super::{Unfit, message, metadata_text};
use crate::route::{EndpointSpec, Health, Workload};

/// What of an assignment decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The endpoints that have an address of ours.
    pub endpoints: Vec<Endpoint>,
    /// The weights of the localities that they name.
    pub localities: Vec<u32>,
    /// How many were left out: no address of ours, or no weight.
    pub left_out: usize,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What a route knows of it.
    pub spec: EndpointSpec,
    /// Whether it ends Istio's mTLS (`tlsMode: istio`); else it takes plain text.
    pub mutual: bool,
    /// Its place in [`Assignment::localities`].
    pub locality: usize,
}

impl Assignment {
    /// Decodes an assignment.
    ///
    /// # Errors
    /// [`Unfit::Undecodable`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Unfit> {
        let assignment: ClusterLoadAssignment = message(bytes)?;
        let mut decoded = Self::default();
        for (place, locality) in assignment.endpoints.iter().enumerate() {
            let weight = locality.load_balancing_weight.as_ref();
            decoded.localities.push(weight.map_or(0, |w| w.value));
            for lb in &locality.lb_endpoints {
                match endpoint(lb, locality, place) {
                    Some(endpoint) => decoded.add(endpoint),
                    None => decoded.left_out += 1,
                }
            }
        }
        decoded.endpoints.shrink_to_fit();
        Ok(decoded)
    }
}

impl Assignment {
    /// Replicas have one workload.
    fn add(&mut self, mut endpoint: Endpoint) {
        let own = &mut endpoint.spec.workload;
        if let Some(before) = self.endpoints.last()
            && before.spec.workload == *own
        {
            *own = Arc::clone(&before.spec.workload);
        }
        self.endpoints.push(endpoint);
    }
}

fn endpoint(lb: &LbEndpoint, of: &LocalityLbEndpoints, locality: usize) -> Option<Endpoint> {
    let metadata = lb.metadata.as_ref();
    let tls = metadata_text(metadata, "envoy.transport_socket_match", "tlsMode");
    let workload = metadata_text(metadata, "istio", "workload").unwrap_or_default();
    let weight = lb.load_balancing_weight.as_ref().map_or(1, |w| w.value);
    let Some(HostIdentifier::Endpoint(Message {
        address: Some(address),
        ..
    })) = &lb.host_identifier
    else {
        return None;
    };
    let spec = EndpointSpec {
        address: socket(address)?,
        weight: NonZeroU32::new(weight)?,
        priority: u8::try_from(of.priority).ok()?,
        health: health(lb.health_status()),
        workload: Arc::new(Workload::from_metadata(workload)),
    };
    Some(Endpoint {
        spec,
        mutual: tls == Some("istio"),
        locality,
    })
}

/// Only an IP address and a port: a name would let the control plane's DNS decide, a
/// pipe or an internal address is no way to a pod.
pub(super) fn socket(address: &Address) -> Option<SocketAddr> {
    let Some(AddressKind::SocketAddress(SocketAddress {
        address,
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..
    })) = &address.address
    else {
        return None;
    };
    let ip: IpAddr = address.parse().ok()?;
    Some(SocketAddr::new(ip, u16::try_from(*port).ok()?))
}

fn health(status: HealthStatus) -> Health {
    match status {
        HealthStatus::Unknown | HealthStatus::Healthy | HealthStatus::Degraded => Health::Healthy,
        HealthStatus::Draining => Health::Draining,
        HealthStatus::Unhealthy | HealthStatus::Timeout => Health::Unhealthy,
    }
}
