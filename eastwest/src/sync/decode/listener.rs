//! A listener: where clients come in, and which chains it has.

use std::{net::SocketAddr, sync::Arc};

use envoy_types::pb::envoy::{
    config::listener::v3::{FilterChain, FilterChainMatch, Listener as Message},
    extensions::filters::network::{sni_cluster::v3::SniCluster, tcp_proxy::v3::TcpProxy},
};
use prost::Name;

use super::{
    Unfit,
    assignment::socket,
    chain::type_url,
    message, not_understood,
    wire::{Field, fields},
};
use crate::route::spec::MESH;

/// What of a listener decides, its chains in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener<'a> {
    /// Where it listens; none for the mesh's own, of which the gateway's settings decide.
    pub address: Option<SocketAddr>,
    /// How a chain is found.
    pub doors: Doors<'a>,
}

/// How the chains of a listener are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doors<'a> {
    /// Discovery's shape: one chain (`sni_cluster`, `tcp_proxy`) for these protocols, where
    /// every cluster is a route, named by its server name.
    BySni(Arc<[Box<str>]>),
    /// istiod's shape: a chain for each route.
    Chains(Vec<&'a [u8]>),
}

impl<'a> Listener<'a> {
    /// Decodes a listener.
    ///
    /// # Errors
    /// [`Unfit`], when it is none, or has anything beside its chains that could refuse a
    /// connection or change its bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Unfit> {
        let (chains, rest): (Vec<_>, Vec<_>) = fields(bytes)?
            .into_iter()
            .partition(|field| field.number == FILTER_CHAINS);
        let rest: Vec<u8> = rest.iter().flat_map(|field| field.whole).copied().collect();
        let listener: Message = message(&rest)?;
        let filters = &listener.listener_filters;
        if let Some(strange) = filters.iter().find(|f| !INSPECTORS.contains(&&*f.name)) {
            return not_understood(format!("the listener filter {}", strange.name));
        }
        if listener.default_filter_chain.is_some() {
            return not_understood("a default filter chain");
        }
        if listener.filter_chain_matcher.is_some() {
            return not_understood("a filter chain matcher");
        }
        if !listener.additional_addresses.is_empty() {
            return not_understood("more than one address");
        }
        if listener.name == MESH {
            return Ok(Self {
                address: None,
                doors: Doors::BySni(Self::by_sni(&chains)?),
            });
        }
        let address = listener.address.as_ref().and_then(socket);
        match address {
            None => not_understood("an address that is no IP and port"),
            address => Ok(Self {
                address,
                doors: Doors::Chains(chains.iter().map(|chain| chain.value).collect()),
            }),
        }
    }

    fn by_sni(chains: &[Field<'_>]) -> Result<Arc<[Box<str>]>, Unfit> {
        let [door] = chains else {
            return not_understood(format!("{} filter chains instead of one", chains.len()));
        };
        let chain: FilterChain = message(door.value)?;
        if chain.transport_socket.is_some() {
            return not_understood("a chain that terminates TLS");
        }
        let kinds: Vec<String> = chain.filters.iter().map(type_url).collect();
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
        Ok(alpn.iter().map(|p| p.as_str().into()).collect())
    }
}

/// Their options change only how bytes are buffered, so they are not read.
const INSPECTORS: [&str; 2] = [
    "envoy.filters.listener.tls_inspector",
    "envoy.filters.listener.http_inspector",
];
/// `envoy.config.listener.v3.Listener.filter_chains`.
const FILTER_CHAINS: u64 = 3;
