//! What answers at a port.

use std::{collections::HashSet, net::SocketAddr, num::NonZeroU32};

use envoy_types::pb::envoy::config::{
    core::v3::{HealthStatus, Locality as LocalityMessage, Metadata},
    endpoint::v3::{
        ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
    },
};

use super::{Labels, Unfit, labels, message, not_understood, nothing_left, socket};

/// The endpoints of a cluster, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// No address comes twice.
    pub endpoints: Vec<Endpoint>,
}

/// An address to dial, and its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// Its share among those of its priority.
    pub weight: NonZeroU32,
    /// 0 is used first.
    pub priority: u8,
    /// Whether it may be used.
    pub healthy: bool,
    /// Where it is. Decides nothing: without `locality_weighted_lb_config` Envoy draws
    /// among all endpoints of a priority, and a locality's own weight is not looked at.
    pub locality: Locality,
    /// By which the transport is chosen (`envoy.transport_socket_match`).
    pub labels: Labels,
}

/// A region, a zone in it, a part of that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
    /// Part of the zone.
    pub subzone: String,
}

impl Assignment {
    /// Decodes an assignment.
    ///
    /// # Errors
    /// [`Unfit`], when something in it is not understood.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unfit> {
        Self::of(message(bytes)?)
    }

    /// The same of a message.
    pub(super) fn of(mut message: ClusterLoadAssignment) -> Result<Self, Unfit> {
        message.cluster_name.clear();
        let mut endpoints = Vec::new();
        for group in std::mem::take(&mut message.endpoints) {
            take_group(group, &mut endpoints)?;
        }
        nothing_left("an assignment", &message)?;
        // Envoy keeps the first of an address.
        let mut seen = HashSet::new();
        endpoints.retain(|endpoint: &Endpoint| seen.insert(endpoint.address));
        Ok(Self { endpoints })
    }
}

fn take_group(mut group: LocalityLbEndpoints, endpoints: &mut Vec<Endpoint>) -> Result<(), Unfit> {
    let locality = locality(group.locality.take().unwrap_or_default());
    let priority = u8::try_from(std::mem::take(&mut group.priority)).map_err(Unfit::because)?;
    group.load_balancing_weight = None;
    for message in std::mem::take(&mut group.lb_endpoints) {
        endpoints.push(endpoint(message, priority, &locality)?);
    }
    nothing_left("a locality", &group)
}

fn endpoint(mut message: LbEndpoint, priority: u8, locality: &Locality) -> Result<Endpoint, Unfit> {
    let Some(HostIdentifier::Endpoint(mut host)) = message.host_identifier.take() else {
        return not_understood("an endpoint by name");
    };
    let address = socket(host.address.take())?;
    nothing_left("an endpoint's host", &host)?;
    let weight = message.load_balancing_weight.take().map_or(1, |w| w.value);
    let status = std::mem::take(&mut message.health_status);
    let status = HealthStatus::try_from(status).map_err(Unfit::because)?;
    let labels = transport_labels(message.metadata.take())?;
    nothing_left("an endpoint", &message)?;
    Ok(Endpoint {
        address,
        weight: NonZeroU32::new(weight).ok_or_else(|| Unfit::because("a weight of 0"))?,
        priority,
        healthy: matches!(status, HealthStatus::Unknown | HealthStatus::Healthy),
        locality: locality.clone(),
        labels,
    })
}

/// Other metadata (`istio`) is for telemetry.
fn transport_labels(metadata: Option<Metadata>) -> Result<Labels, Unfit> {
    let of = metadata.unwrap_or_default().filter_metadata;
    let fields = of.into_iter().find(|(filter, _)| filter == TRANSPORT);
    fields.map_or_else(|| Ok(Labels::new()), |(_, fields)| labels(fields))
}

fn locality(message: LocalityMessage) -> Locality {
    Locality {
        region: message.region,
        zone: message.zone,
        subzone: message.sub_zone,
    }
}

const TRANSPORT: &str = "envoy.transport_socket_match";
