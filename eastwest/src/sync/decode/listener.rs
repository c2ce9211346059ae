//! The listener `mesh`: who may come in, by protocol.

use std::sync::Arc;

use envoy_types::pb::{
    envoy::{
        config::listener::v3::{
            Filter, FilterChain, FilterChainMatch, Listener as Message, filter::ConfigType,
        },
        extensions::filters::network::{sni_cluster::v3::SniCluster, tcp_proxy::v3::TcpProxy},
    },
    google::protobuf::Any,
};
use prost::Name;

use super::{Unfit, message, not_understood};

/// What of a listener decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Protocols that let a client in, for every route; never empty.
    pub alpn: Arc<[Box<str>]>,
}

impl Listener {
    /// Decodes discovery's listener.
    ///
    /// # Errors
    /// [`Unfit`], when it is none, or has anything that could narrow or widen who may
    /// come in beyond one chain of protocols.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unfit> {
        let listener: Message = message(bytes)?;
        if listener.name != MESH {
            return not_understood(format!("a listener other than `{MESH}`"));
        }
        let inspectors = &listener.listener_filters;
        if !inspectors.iter().all(|filter| filter.name == TLS_INSPECTOR) {
            return not_understood("a listener filter other than tls_inspector");
        }
        if listener.default_filter_chain.is_some() {
            return not_understood("a default filter chain");
        }
        match listener.filter_chains.as_slice() {
            [door] => Self::door(door),
            chains => not_understood(format!("{} filter chains instead of one", chains.len())),
        }
    }

    fn door(chain: &FilterChain) -> Result<Self, Unfit> {
        if chain.transport_socket.is_some() {
            return not_understood("a chain that terminates TLS");
        }
        let kinds: Vec<&str> = chain.filters.iter().map(type_url).collect();
        if kinds != [SniCluster::type_url(), TcpProxy::type_url()] {
            return not_understood(format!(
                "filters {kinds:?} instead of sni_cluster and tcp_proxy"
            ));
        }
        let narrow = chain.filter_chain_match.as_ref();
        let alpn = narrow.map_or(&[][..], |m| &m.application_protocols);
        if alpn.is_empty() {
            return not_understood("a chain for any protocol");
        }
        let only_alpn = FilterChainMatch {
            application_protocols: alpn.to_vec(),
            transport_protocol: narrow.map_or_else(String::new, |m| m.transport_protocol.clone()),
            ..Default::default()
        };
        let tls = ["", "tls"].contains(&only_alpn.transport_protocol.as_str());
        if !tls || narrow != Some(&only_alpn) {
            return not_understood("a match by more than protocols");
        }
        Ok(Self {
            alpn: alpn.iter().map(|p| p.as_str().into()).collect(),
        })
    }
}

fn type_url(filter: &Filter) -> &str {
    match &filter.config_type {
        Some(ConfigType::TypedConfig(Any { type_url, .. })) => type_url,
        _ => &filter.name,
    }
}

/// The name of the listener that discovery sends.
pub const MESH: &str = "mesh";
/// Its options change only how bytes are buffered, so they are not read.
const TLS_INSPECTOR: &str = "envoy.filters.listener.tls_inspector";
