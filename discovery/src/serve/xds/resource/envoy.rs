//! Envoy's messages under short names, and the few that every resource needs.

use std::net::IpAddr;

pub(super) use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3 as cluster, core::v3 as core, endpoint::v3 as endpoint,
            listener::v3 as listener, route::v3 as route,
        },
        extensions::{
            filters::{
                http::router::v3 as http_router,
                listener::tls_inspector::v3 as tls_inspector,
                network::{
                    http_connection_manager::v3 as http, sni_cluster::v3 as sni_cluster,
                    tcp_proxy::v3 as tcp_proxy,
                },
            },
            transport_sockets::{raw_buffer::v3 as raw_buffer, tls::v3 as tls},
        },
        r#type::matcher::v3 as matcher,
    },
    google::protobuf as google,
};
use prost::{Message, Name};

/// A message as an `Any`.
pub(super) fn any<M: Message + Name>(message: &M) -> google::Any {
    google::Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// A TCP address.
pub(super) fn socket(address: IpAddr, port: u16) -> core::Address {
    let socket = core::SocketAddress {
        address: address.to_string(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    core::Address {
        address: Some(core::address::Address::SocketAddress(socket)),
    }
}

/// Resources that come over this same stream. Envoy waits for them without a limit: what
/// is not known yet is not taken for empty.
pub(super) fn ads() -> core::ConfigSource {
    source(core::config_source::ConfigSourceSpecifier::Ads(
        core::AggregatedConfigSource::default(),
    ))
}

/// A source of resources of API version 3, waited for without a limit.
pub(super) fn source(specifier: core::config_source::ConfigSourceSpecifier) -> core::ConfigSource {
    core::ConfigSource {
        initial_fetch_timeout: Some(seconds(0)),
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(specifier),
        ..Default::default()
    }
}

pub(super) fn seconds(seconds: i64) -> google::Duration {
    google::Duration { seconds, nanos: 0 }
}

pub(super) fn number(value: u32) -> google::UInt32Value {
    google::UInt32Value { value }
}

pub(super) fn yes() -> google::BoolValue {
    google::BoolValue { value: true }
}
