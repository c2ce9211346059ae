//! `ClusterLoadAssignment`: what answers at a port.

use super::{
    Kind, Resource,
    envoy::{core, endpoint, number, socket},
    wire::{Assignment, LbEndpoint, LocalityEndpoints, Metadata, Struct, Value},
};
use crate::{
    horizon::{Group, Target, Via},
    model::Locality,
};

/// The assignment of a cluster: targets as the horizon tells them, all healthy (who is
/// not ready is not told) and of one priority. `namespace` is the service's.
#[must_use]
pub fn assignment(name: &str, namespace: &str, groups: &[Group]) -> Resource {
    let message = Assignment {
        cluster_name: name.to_owned(),
        endpoints: groups
            .iter()
            .map(|group| locality(group, namespace))
            .collect(),
    };
    Resource::encode(Kind::Assignment, name, &message)
}

fn locality(group: &Group, namespace: &str) -> LocalityEndpoints {
    let Locality {
        region,
        zone,
        subzone,
    } = &group.locality;
    LocalityEndpoints {
        locality: Some(core::Locality {
            region: region.to_string(),
            zone: zone.to_string(),
            sub_zone: subzone.to_string(),
        }),
        // The horizon keeps the sum over all groups below 2^32.
        load_balancing_weight: Some(number(group.targets.iter().map(|t| t.weight).sum())),
        lb_endpoints: (group.targets.iter())
            .map(|target| lb_endpoint(target, namespace))
            .collect(),
    }
}

fn lb_endpoint(target: &Target, namespace: &str) -> LbEndpoint {
    LbEndpoint {
        endpoint: Some(endpoint::Endpoint {
            address: Some(socket(target.address, target.port)),
            ..Default::default()
        }),
        health_status: core::HealthStatus::Healthy.into(),
        metadata: Some(metadata(&target.via, namespace)),
        load_balancing_weight: Some(number(target.weight)),
    }
}

/// Which transport socket to use, and the `istio.workload` of Istio's telemetry:
/// `workload;namespace;canonical name;canonical revision;cluster`
/// (`pilot/pkg/networking/util/util.go:AppendLbEndpointMetadata`).
fn metadata(via: &Via, namespace: &str) -> Metadata {
    let (mesh_tls, workload) = match via {
        Via::Gateway(cluster) => {
            let cluster = cluster.as_ref().map_or("", |id| id.as_str());
            (true, format!(";;;;{cluster}"))
        }
        Via::Pod(cluster, endpoint) => (
            endpoint.mesh_tls,
            format!(
                "{};{namespace};{};{};{cluster}",
                endpoint.workload, endpoint.canonical_name, endpoint.canonical_revision
            ),
        ),
    };
    let istio = Struct::of([("workload", Value::text(workload))]);
    if !mesh_tls {
        return Metadata::of([("istio", istio)]);
    }
    let tls_mode = Struct::of([("tlsMode", Value::text("istio"))]);
    Metadata::of([("istio", istio), ("envoy.transport_socket_match", tls_mode)])
}
