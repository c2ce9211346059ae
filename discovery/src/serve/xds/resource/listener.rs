//! `Listener`: the one of a gateway, and the few that a sidecar without capture needs.

use std::net::{IpAddr, Ipv4Addr};

use trust::identity::TrustDomain;

use super::{
    Kind, Resource,
    cluster::inbound_name,
    envoy::{ads, any, core, google, http, http_router, listener, sni_cluster, socket},
    envoy::{tcp_proxy, tls_inspector},
    route, tls,
};

/// A port of the workload itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inbound {
    /// The pod's address.
    pub address: IpAddr,
    /// The port that the workload answers on.
    pub port: u16,
    /// Whether the bytes are HTTP; else they are passed on as they are.
    pub http: bool,
}

/// The listener of our gateways: one constant chain. A connection that offers a mesh ALPN
/// goes to the cluster that its SNI names; where there is none it is closed.
#[must_use]
pub fn mesh_listener() -> Resource {
    let alpn = MESH_ALPN.iter().map(ToString::to_string).collect();
    let chain = listener::FilterChain {
        filter_chain_match: Some(listener::FilterChainMatch {
            application_protocols: alpn,
            ..Default::default()
        }),
        filters: vec![
            filter(
                "envoy.filters.network.sni_cluster",
                any(&sni_cluster::SniCluster::default()),
            ),
            tcp("mesh", "unmatched"),
        ],
        ..Default::default()
    };
    let inspector = listener::ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        config_type: Some(listener::listener_filter::ConfigType::TypedConfig(any(
            &tls_inspector::TlsInspector::default(),
        ))),
        ..Default::default()
    };
    let message = listener::Listener {
        listener_filters: vec![inspector],
        ..on("mesh", Ipv4Addr::UNSPECIFIED.into(), 15443, chain)
    };
    Resource::encode(Kind::Listener, "mesh", &message)
}

/// Where a workload sends its requests, at the pod's loopback address: routes by Host, over
/// this same stream.
#[must_use]
pub fn outbound_listener(loopback: IpAddr) -> Resource {
    use http::http_connection_manager::RouteSpecifier;
    let routes = RouteSpecifier::Rds(http::Rds {
        config_source: Some(ads()),
        route_config_name: "outbound".to_owned(),
    });
    let chain = listener::FilterChain {
        filters: vec![http_filter(http_manager("outbound", routes))],
        ..Default::default()
    };
    let message = listener::Listener {
        traffic_direction: core::TrafficDirection::Outbound.into(),
        ..on("outbound", loopback, 15001, chain)
    };
    Resource::encode(Kind::Listener, "outbound", &message)
}

/// The pod's own port: mesh mTLS is required, and HTTP requests carry who called
/// (`x-forwarded-client-cert`).
#[must_use]
pub fn inbound_listener(inbound: Inbound, trust_domain: &TrustDomain) -> Resource {
    let Inbound {
        address,
        port,
        http,
    } = inbound;
    let name = format!("inbound_{address}_{port}");
    let cluster = inbound_name(port);
    let filter = if http {
        http_filter(inbound_manager(&name, &cluster))
    } else {
        tcp(&name, &cluster)
    };
    let chain = listener::FilterChain {
        filters: vec![filter],
        transport_socket: Some(tls::downstream(trust_domain)),
        ..Default::default()
    };
    let message = listener::Listener {
        traffic_direction: core::TrafficDirection::Inbound.into(),
        ..on(&name, address, port, chain)
    };
    Resource::encode(Kind::Listener, &name, &message)
}

fn inbound_manager(name: &str, cluster: &str) -> http::HttpConnectionManager {
    use http::http_connection_manager::{
        ForwardClientCertDetails, RouteSpecifier, SetCurrentClientCertDetails,
    };
    let routes = RouteSpecifier::RouteConfig(route::to_one(cluster));
    http::HttpConnectionManager {
        forward_client_cert_details: ForwardClientCertDetails::SanitizeSet.into(),
        set_current_client_cert_details: Some(SetCurrentClientCertDetails {
            uri: true,
            chain: true,
            ..Default::default()
        }),
        ..http_manager(name, routes)
    }
}

fn http_manager(
    name: &str,
    routes: http::http_connection_manager::RouteSpecifier,
) -> http::HttpConnectionManager {
    use http::http_connection_manager::{CodecType, ServerHeaderTransformation};
    let router = http::HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http::http_filter::ConfigType::TypedConfig(any(
            &http_router::Router::default(),
        ))),
        ..Default::default()
    };
    http::HttpConnectionManager {
        codec_type: CodecType::Auto.into(),
        stat_prefix: name.to_owned(),
        http_filters: vec![router],
        server_header_transformation: ServerHeaderTransformation::PassThrough.into(),
        route_specifier: Some(routes),
        ..Default::default()
    }
}

fn on(name: &str, address: IpAddr, port: u16, chain: listener::FilterChain) -> listener::Listener {
    listener::Listener {
        name: name.to_owned(),
        address: Some(socket(address, port)),
        filter_chains: vec![chain],
        ..Default::default()
    }
}

fn http_filter(manager: http::HttpConnectionManager) -> listener::Filter {
    filter(
        "envoy.filters.network.http_connection_manager",
        any(&manager),
    )
}

fn tcp(stat_prefix: &str, cluster: &str) -> listener::Filter {
    let proxy = tcp_proxy::TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        cluster_specifier: Some(tcp_proxy::tcp_proxy::ClusterSpecifier::Cluster(
            cluster.to_owned(),
        )),
        ..Default::default()
    };
    filter("envoy.filters.network.tcp_proxy", any(&proxy))
}

fn filter(name: &str, config: google::Any) -> listener::Filter {
    listener::Filter {
        name: name.to_owned(),
        config_type: Some(listener::filter::ConfigType::TypedConfig(config)),
    }
}

/// What only clients of a mesh offer (Istio's `AUTO_PASSTHROUGH` chains).
const MESH_ALPN: [&str; 5] = [
    "istio",
    "istio-peer-exchange",
    "istio-http/1.0",
    "istio-http/1.1",
    "istio-h2",
];
