use std::collections::HashMap;

use envoy_types::{
    pb::{
        envoy::{
            config::{
                cluster::v3::{
                    Cluster as ClusterMessage, OutlierDetection, cluster::ClusterDiscoveryType,
                    cluster::DiscoveryType, cluster::EdsClusterConfig,
                },
                core::v3::{
                    Address, HealthStatus, Metadata, SocketAddress, TransportSocket,
                    address::Address as AddressKind, socket_address::PortSpecifier,
                },
                endpoint::v3::{
                    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
                    lb_endpoint::HostIdentifier,
                },
                listener::v3::{
                    Filter, FilterChain, FilterChainMatch, Listener as ListenerMessage,
                    ListenerFilter, filter::ConfigType,
                },
            },
            extensions::filters::network::{
                rbac::v3::Rbac, sni_cluster::v3::SniCluster, tcp_proxy::v3::TcpProxy,
            },
        },
        google::protobuf::{Any, ListValue, Struct, UInt32Value},
    },
    util::pack_any,
};

use super::{
    assignment::Assignment,
    cluster::Cluster,
    listener::{Doors, Listener},
    *,
};
use crate::route::{Health, Service};

pub(crate) fn string(text: &str) -> Value {
    Value {
        kind: Some(ValueKind::StringValue(text.to_owned())),
    }
}

fn fields<const N: usize>(of: [(&str, Value); N]) -> Struct {
    Struct {
        fields: of.map(|(key, value)| (key.to_owned(), value)).into(),
    }
}

fn metadata<const N: usize>(of: [(&str, Struct); N]) -> Option<Metadata> {
    Some(Metadata {
        filter_metadata: of.map(|(key, value)| (key.to_owned(), value)).into(),
        typed_filter_metadata: HashMap::new(),
    })
}

/// A cluster in discovery's shape.
pub(crate) fn cluster(name: &str) -> ClusterMessage {
    let service = fields([
        ("host", string("helloworld.sample.svc.cluster.local")),
        ("name", string("helloworld")),
        ("namespace", string("sample")),
    ]);
    let service = Value {
        kind: Some(ValueKind::StructValue(service)),
    };
    let list = ValueKind::ListValue(ListValue {
        values: vec![service],
    });
    ClusterMessage {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        connect_timeout: Some(envoy_types::pb::google::protobuf::Duration {
            seconds: 10,
            nanos: 0,
        }),
        metadata: metadata([("istio", fields([("services", Value { kind: Some(list) })]))]),
        ..Default::default()
    }
}

/// An endpoint in discovery's shape.
pub(crate) fn endpoint(address: &str) -> LbEndpoint {
    LbEndpoint {
        health_status: HealthStatus::Healthy.into(),
        metadata: metadata([
            (
                "istio",
                fields([("workload", string("helloworld-v1;sample;helloworld;v1;c1"))]),
            ),
            (
                "envoy.transport_socket_match",
                fields([("tlsMode", string("istio"))]),
            ),
        ]),
        load_balancing_weight: Some(UInt32Value { value: 1 }),
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(self::address(address)),
            ..Default::default()
        })),
    }
}

pub(crate) fn address(of: &str) -> Address {
    let of: std::net::SocketAddr = of.parse().unwrap();
    let socket = SocketAddress {
        address: of.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(of.port().into())),
        ..Default::default()
    };
    Address {
        address: Some(AddressKind::SocketAddress(socket)),
    }
}

pub(crate) fn assignment(name: &str, endpoints: Vec<LbEndpoint>) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: endpoints,
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(crate) fn filter(any: Any) -> Filter {
    Filter {
        name: "any name".to_owned(),
        config_type: Some(ConfigType::TypedConfig(any)),
    }
}

/// The listener `mesh` in discovery's shape.
pub(crate) fn listener() -> ListenerMessage {
    let alpn = ["istio", "istio-h2"].map(str::to_owned);
    ListenerMessage {
        name: "mesh".to_owned(),
        listener_filters: vec![ListenerFilter {
            name: "envoy.filters.listener.tls_inspector".to_owned(),
            ..Default::default()
        }],
        filter_chains: vec![FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                application_protocols: alpn.into(),
                ..Default::default()
            }),
            filters: vec![
                filter(pack_any(SniCluster {})),
                filter(pack_any(TcpProxy::default())),
            ],
            ..Default::default()
        }],
        ..Default::default()
    }
}

#[test]
fn a_cluster_is_a_service_and_a_name_to_ask_for() {
    let decoded = Cluster::decode(&cluster("a").encode_to_vec()).unwrap();
    assert_eq!(decoded.assignment("a"), "a");
    let service = Service {
        host: "helloworld.sample.svc.cluster.local".into(),
        name: "helloworld".into(),
        namespace: "sample".into(),
    };
    assert_eq!(*decoded.service, service);
    assert_eq!(decoded.connect_timeout, Some(Span::seconds(10)));
    let mut alias = cluster("a");
    alias.eds_cluster_config = Some(EdsClusterConfig {
        service_name: "b".to_owned(),
        ..Default::default()
    });
    alias.metadata = None;
    let decoded = Cluster::decode(&alias.encode_to_vec()).unwrap();
    assert_eq!(decoded.assignment("a"), "b");
    assert_eq!(*decoded.service, Service::default());
}

#[test]
fn a_cluster_that_would_add_or_end_tls_is_not_understood() {
    let refused = |cluster: ClusterMessage| {
        let decoded = Cluster::decode(&cluster.encode_to_vec());
        assert!(
            matches!(decoded, Err(Unfit::NotUnderstood(_))),
            "{decoded:?}"
        );
    };
    let mut tls = cluster("a");
    tls.transport_socket = Some(TransportSocket::default());
    refused(tls);
    let mut matches = cluster("a");
    matches.transport_socket_matches = vec![Default::default(); 2];
    refused(matches);
    let mut fixed = cluster("a");
    fixed.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into()));
    refused(fixed);
    let noise = Cluster::decode(&[0xff; 9]);
    assert!(matches!(noise, Err(Unfit::Undecodable(_))));
}

#[test]
fn an_endpoint_keeps_what_its_message_says() {
    let mut ill = endpoint("10.0.0.2:5000");
    ill.health_status = HealthStatus::Unhealthy.into();
    let mut unknown = endpoint("[2001:db8::3]:5000");
    unknown.health_status = HealthStatus::Unknown.into();
    unknown.load_balancing_weight = Some(UInt32Value { value: 7 });
    let mut message = assignment("a", vec![endpoint("10.0.0.1:5000"), ill]);
    message.endpoints.push(LocalityLbEndpoints {
        lb_endpoints: vec![unknown],
        priority: 1,
        ..Default::default()
    });
    let decoded = Assignment::decode(&message.encode_to_vec()).unwrap();
    let seen: Vec<_> = decoded
        .endpoints
        .iter()
        .map(|e| &e.spec)
        .map(|e| (e.address.to_string(), e.weight.get(), e.priority, e.health))
        .collect();
    assert_eq!(
        seen,
        [
            ("10.0.0.1:5000".to_owned(), 1, 0, Health::Healthy),
            ("10.0.0.2:5000".to_owned(), 1, 0, Health::Unhealthy),
            ("[2001:db8::3]:5000".to_owned(), 7, 1, Health::Healthy),
        ]
    );
    let workload = &decoded.endpoints[0].spec.workload;
    assert_eq!(
        (&*workload.name, &*workload.cluster),
        ("helloworld-v1", "c1")
    );
    assert_eq!(decoded.left_out, 0);
}

#[test]
fn an_endpoint_says_whether_it_ends_the_meshs_tls_and_without_address_is_left_out() {
    let mut plain = endpoint("10.0.0.1:5000");
    plain.metadata = None;
    let mut other = endpoint("10.0.0.1:5000");
    other.metadata = metadata([(
        "envoy.transport_socket_match",
        fields([("tlsMode", string("disabled"))]),
    )]);
    let mut name = endpoint("10.0.0.1:5000");
    name.host_identifier = Some(HostIdentifier::Endpoint(Endpoint {
        address: Some(Address {
            address: Some(AddressKind::SocketAddress(SocketAddress {
                address: "metadata.internal".to_owned(),
                port_specifier: Some(PortSpecifier::PortValue(80)),
                ..Default::default()
            })),
        }),
        ..Default::default()
    }));
    let mut none = endpoint("10.0.0.1:5000");
    none.host_identifier = None;
    let mesh = endpoint("10.0.0.1:5000");
    let message = assignment("a", vec![plain, other, name, none, mesh]);
    let decoded = Assignment::decode(&message.encode_to_vec()).unwrap();
    let mutual: Vec<bool> = decoded.endpoints.iter().map(|e| e.mutual).collect();
    assert_eq!((mutual, decoded.left_out), (vec![false, false, true], 2));
}

#[test]
fn the_listener_gives_the_protocols() {
    let bytes = listener().encode_to_vec();
    let decoded = Listener::decode(&bytes).unwrap();
    let alpn = ["istio".into(), "istio-h2".into()].into();
    assert_eq!((decoded.address, decoded.doors), (None, Doors::BySni(alpn)));
    let mut tls = listener();
    let narrow = tls.filter_chains[0].filter_chain_match.as_mut().unwrap();
    narrow.transport_protocol = "tls".to_owned();
    assert!(Listener::decode(&tls.encode_to_vec()).is_ok());
}

#[test]
fn a_listener_with_anything_more_is_not_understood() {
    let refused = |why: &str, change: fn(&mut ListenerMessage)| {
        let mut message = listener();
        change(&mut message);
        let bytes = message.encode_to_vec();
        let decoded = Listener::decode(&bytes);
        assert!(
            matches!(decoded, Err(Unfit::NotUnderstood(_))),
            "{why}: {decoded:?}"
        );
    };
    refused("another name without an address", |l| {
        l.name = "0.0.0.0_15443".to_owned()
    });
    refused("two chains", |l| {
        l.filter_chains.push(l.filter_chains[0].clone())
    });
    refused("no chain", |l| l.filter_chains.clear());
    refused("a default chain", |l| {
        l.default_filter_chain = Some(l.filter_chains[0].clone());
    });
    refused("another listener filter", |l| {
        l.listener_filters[0].name = "envoy.filters.listener.proxy_protocol".to_owned();
    });
    refused("an access rule", |l| {
        l.filter_chains[0]
            .filters
            .insert(0, filter(pack_any(Rbac::default())));
    });
    refused("no sni_cluster", |l| {
        l.filter_chains[0].filters.remove(0);
    });
    refused("TLS ended here", |l| {
        l.filter_chains[0].transport_socket = Some(TransportSocket::default());
    });
    refused("any protocol", |l| {
        l.filter_chains[0].filter_chain_match = None
    });
    refused("a narrower match", |l| {
        let narrow = l.filter_chains[0].filter_chain_match.as_mut().unwrap();
        narrow.server_names = vec!["*.global".to_owned()];
    });
    refused("another source", |l| {
        let narrow = l.filter_chains[0].filter_chain_match.as_mut().unwrap();
        narrow.source_prefix_ranges = vec![Default::default()];
    });
}

#[test]
fn outlier_detection_says_when_an_endpoint_is_ejected() {
    let number = |value| Some(UInt32Value { value });
    let seconds = |seconds| Some(envoy_types::pb::google::protobuf::Duration { seconds, nanos: 0 });
    let told = |outlier: OutlierDetection| {
        let mut message = cluster("a");
        message.outlier_detection = Some(outlier);
        let eject = Cluster::decode(&message.encode_to_vec())
            .unwrap()
            .eject
            .unwrap();
        (eject.failures, eject.time.0.as_secs())
    };
    assert_eq!(
        Cluster::decode(&cluster("a").encode_to_vec())
            .unwrap()
            .eject,
        None
    );
    assert_eq!(
        told(OutlierDetection::default()),
        (5, 30),
        "Envoy's defaults"
    );
    // What istiod writes for consecutive5xxErrors, consecutiveGatewayErrors and
    // baseEjectionTime; 0 errors are not enforced.
    let istio = OutlierDetection {
        consecutive_5xx: number(7),
        consecutive_gateway_failure: number(4),
        enforcing_consecutive_gateway_failure: number(100),
        base_ejection_time: seconds(15),
        ..Default::default()
    };
    assert_eq!(told(istio.clone()), (4, 15));
    let none = OutlierDetection {
        enforcing_consecutive_5xx: number(0),
        enforcing_consecutive_gateway_failure: number(0),
        ..istio.clone()
    };
    assert_eq!(told(none), (0, 15));
    let split = OutlierDetection {
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: number(2),
        ..istio
    };
    assert_eq!(told(split), (2, 15));
}
