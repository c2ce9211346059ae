//! `Cluster`: a port of a service as a sidecar or a gateway dials it.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use prost::Message;
use trust::identity::SpiffeId;

use super::{
    Kind, Resource,
    envoy::{ads, cluster, core, endpoint, google, number, seconds, socket},
    tls,
    wire::{ClusterMetadata, Metadata, Struct, Value},
};
use crate::model::ServiceKey;

/// The cluster of an exported port for gateways, named by the SNI that leads to it: bytes
/// are passed on, TLS unopened.
#[must_use]
pub fn gateway_cluster(key: &ServiceKey, port: u16, domain: &str) -> Resource {
    let name = key.sni(port, domain);
    let cluster = by_assignment(&name);
    with_metadata(&name, &cluster, key, domain)
}

/// The cluster of a port for sidecars: mesh mTLS towards whoever takes it, answered by
/// one of `identities` only.
#[must_use]
pub fn sidecar_cluster(
    key: &ServiceKey,
    port: u16,
    domain: &str,
    identities: &BTreeSet<SpiffeId>,
) -> Resource {
    let name = key.outbound(port, domain);
    let sni = key.sni(port, domain);
    let cluster = cluster::Cluster {
        transport_socket_matches: vec![
            socket_match(
                "tlsMode-istio",
                Some("istio"),
                tls::upstream(&sni, identities),
            ),
            socket_match("tlsMode-disabled", None, tls::plain()),
        ],
        ..by_assignment(&name)
    };
    with_metadata(&name, &cluster, key, domain)
}

/// The workload's own port behind its sidecar, at the pod's loopback address.
#[must_use]
pub fn inbound_cluster(loopback: IpAddr, port: u16) -> Resource {
    let name = inbound_name(port);
    let local = endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(
            endpoint::Endpoint {
                address: Some(socket(loopback, port)),
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    let cluster = cluster::Cluster {
        load_assignment: Some(endpoint::ClusterLoadAssignment {
            cluster_name: name.clone(),
            endpoints: vec![endpoint::LocalityLbEndpoints {
                lb_endpoints: vec![local],
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..of_type(&name, cluster::cluster::DiscoveryType::Static)
    };
    Resource::encode(Kind::Cluster, &name, &cluster)
}

/// `inbound|5000||`.
pub(super) fn inbound_name(port: u16) -> String {
    format!("inbound|{port}||")
}

fn by_assignment(name: &str) -> cluster::Cluster {
    cluster::Cluster {
        eds_cluster_config: Some(cluster::cluster::EdsClusterConfig {
            eds_config: Some(ads()),
            service_name: name.to_owned(),
        }),
        lb_config: Some(by_weight()),
        ..of_type(name, cluster::cluster::DiscoveryType::Eds)
    }
}

/// Least request, but by weight alone where weights differ: a gateway's weight is the number
/// of pods behind it, and Envoy would lower it for each request in flight as if they all
/// went to one pod.
fn by_weight() -> cluster::cluster::LbConfig {
    let bias = core::RuntimeDouble {
        default_value: 0.0,
        runtime_key: "isthmus.active_request_bias".to_owned(),
    };
    cluster::cluster::LbConfig::LeastRequestLbConfig(cluster::cluster::LeastRequestLbConfig {
        active_request_bias: Some(bias),
        ..Default::default()
    })
}

fn of_type(name: &str, discovery: cluster::cluster::DiscoveryType) -> cluster::Cluster {
    use cluster::{CircuitBreakers, circuit_breakers::Thresholds, cluster::CommonLbConfig};
    let unlimited = Some(number(u32::MAX));
    cluster::Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(
            discovery.into(),
        )),
        connect_timeout: Some(seconds(10)),
        lb_policy: cluster::cluster::LbPolicy::LeastRequest.into(),
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![Thresholds {
                max_connections: unlimited,
                max_pending_requests: unlimited,
                max_requests: unlimited,
                max_retries: unlimited,
                ..Default::default()
            }],
            ..Default::default()
        }),
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Default::default()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn socket_match(
    name: &str,
    tls_mode: Option<&str>,
    socket: core::TransportSocket,
) -> cluster::cluster::TransportSocketMatch {
    let text = |mode: &str| google::Value {
        kind: Some(google::value::Kind::StringValue(mode.to_owned())),
    };
    let fields: HashMap<_, _> = (tls_mode.into_iter())
        .map(|mode| ("tlsMode".to_owned(), text(mode)))
        .collect();
    cluster::cluster::TransportSocketMatch {
        name: name.to_owned(),
        r#match: Some(google::Struct { fields }),
        transport_socket: Some(socket),
    }
}

/// Encodes a cluster together with the `istio` metadata of its service.
fn with_metadata(
    name: &str,
    cluster: &cluster::Cluster,
    key: &ServiceKey,
    domain: &str,
) -> Resource {
    let service = Struct::of([
        ("host", Value::text(key.host(domain))),
        ("name", Value::text(&*key.name)),
        ("namespace", Value::text(&*key.namespace)),
    ]);
    let istio = Struct::of([("services", Value::list(vec![service.into()]))]);
    let metadata = ClusterMetadata {
        metadata: Some(Metadata::of([("istio", istio)])),
    };
    let mut bytes = cluster.encode_to_vec();
    bytes.extend(metadata.encode_to_vec());
    Resource::from_bytes(Kind::Cluster, name, bytes.into())
}
