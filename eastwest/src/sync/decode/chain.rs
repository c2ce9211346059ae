//! A filter chain of a listener: whom it matches, and where it leads.
//!
//! Whatever could refuse a connection, or choose another chain for it, and is not
//! understood here, is a flaw: clients that the chain could match are closed then
//! (istio-eastwest.md §8.1-8.3).

use std::{collections::BTreeSet, sync::Arc};

use envoy_types::pb::{
    envoy::{
        config::listener::v3::{Filter, FilterChain, FilterChainMatch, filter::ConfigType},
        extensions::filters::network::{
            mongo_proxy::v3::MongoProxy,
            tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier},
        },
        r#type::v3::{HashPolicy, hash_policy::PolicySpecifier},
    },
    google::protobuf::Any,
};
use prost::{Message, Name};

use super::{Unfit, message, span};
use crate::config::Span;

/// What of a chain decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Server names in lower case, `*.suffix`, or `*` alone for any.
    pub names: Vec<Arc<str>>,
    /// Protocols that let a client in; none for any.
    pub alpn: Option<Arc<[Box<str>]>>,
    /// The clusters that it leads to, each with its share.
    pub targets: Vec<Target>,
    /// In place of `relay.idle`.
    pub idle_timeout: Option<Span>,
    /// The longest life of a connection.
    pub max_duration: Option<Span>,
    /// Whether the client's address may choose the endpoint.
    pub by_source: bool,
    /// Why nobody may pass.
    pub flaw: Option<String>,
}

/// One cluster of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub cluster: Arc<str>,
    /// Its share among the chain's clusters.
    pub weight: u32,
}

impl Chain {
    /// Decodes a chain.
    ///
    /// # Errors
    /// [`Unfit::Undecodable`]; what is not understood is a [`Chain::flaw`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Unfit> {
        let chain: FilterChain = message(bytes)?;
        let rule = chain.filter_chain_match.clone().unwrap_or_default();
        let mut decoded = Self {
            names: names(&rule.server_names),
            alpn: alpn(&rule.application_protocols),
            targets: Vec::new(),
            idle_timeout: None,
            max_duration: None,
            by_source: false,
            flaw: None,
        };
        // Where it leads is known even if nobody may pass, so that its endpoints are at hand
        // once the flaw is gone.
        let led = proxy(&chain).and_then(|proxy| decoded.lead(proxy));
        decoded.flaw = narrow(rule).and_then(|()| idle(&chain)).and(led).err();
        Ok(decoded)
    }

    fn lead(&mut self, proxy: TcpProxy) -> Result<(), String> {
        let known = TcpProxy {
            stat_prefix: proxy.stat_prefix.clone(),
            cluster_specifier: proxy.cluster_specifier.clone(),
            idle_timeout: proxy.idle_timeout,
            max_downstream_connection_duration: proxy.max_downstream_connection_duration,
            hash_policy: proxy.hash_policy.clone(),
            access_log: proxy.access_log.clone(),
            access_log_options: proxy.access_log_options,
            max_connect_attempts: proxy.max_connect_attempts,
            ..TcpProxy::default()
        };
        if proxy != known {
            return Err("a setting of tcp_proxy beyond clusters, times and hashes".to_owned());
        }
        self.targets = match proxy.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) => vec![Target::new(name, 1)],
            Some(ClusterSpecifier::WeightedClusters(all)) => {
                if all.clusters.iter().any(|c| c.metadata_match.is_some()) {
                    return Err("a subset of a weighted cluster".to_owned());
                }
                let all = all.clusters.into_iter().filter(|c| c.weight > 0);
                all.map(|c| Target::new(c.name, c.weight)).collect()
            }
            None => return Err("tcp_proxy without a cluster".to_owned()),
        };
        self.idle_timeout = proxy.idle_timeout.and_then(span);
        self.max_duration = proxy.max_downstream_connection_duration.and_then(span);
        self.by_source = by_source(&proxy.hash_policy)?;
        Ok(())
    }
}

impl Target {
    fn new(cluster: String, weight: u32) -> Self {
        let cluster = cluster.into();
        Self { cluster, weight }
    }
}

fn names(of: &[String]) -> Vec<Arc<str>> {
    match of {
        [] => vec!["*".into()],
        names => {
            let names = names.iter().map(|name| name.to_ascii_lowercase().into());
            let once: BTreeSet<Arc<str>> = names.collect();
            once.into_iter().collect()
        }
    }
}

fn alpn(of: &[String]) -> Option<Arc<[Box<str>]>> {
    (!of.is_empty()).then(|| of.iter().map(|p| p.as_str().into()).collect())
}

/// A match by more than names and protocols would be widened here.
fn narrow(rule: FilterChainMatch) -> Result<(), String> {
    let known = FilterChainMatch {
        server_names: rule.server_names.clone(),
        application_protocols: rule.application_protocols.clone(),
        transport_protocol: rule.transport_protocol.clone(),
        ..Default::default()
    };
    let tls = ["", "tls"].contains(&rule.transport_protocol.as_str());
    match tls && rule == known {
        true => Ok(()),
        false => Err("a match by more than server names and protocols".to_owned()),
    }
}

/// Nothing before the last filter may refuse or change a connection.
fn idle(chain: &FilterChain) -> Result<(), String> {
    if chain.transport_socket.is_some() {
        return Err("a chain that terminates TLS".to_owned());
    }
    let before = chain
        .filters
        .split_last()
        .map_or(&[][..], |(_, before)| before);
    match before.iter().find(|filter| !is_idle(&type_url(filter))) {
        None => Ok(()),
        Some(filter) => Err(format!("the filter {}", filter.name)),
    }
}

/// The chain's `tcp_proxy`.
fn proxy(chain: &FilterChain) -> Result<TcpProxy, String> {
    let last = chain.filters.last().ok_or("a chain without filters")?;
    match &last.config_type {
        Some(ConfigType::TypedConfig(any)) if any.type_url == TcpProxy::type_url() => {
            TcpProxy::decode(&*any.value).map_err(|error| format!("tcp_proxy: {error}"))
        }
        _ => Err(format!(
            "the last filter {} instead of tcp_proxy",
            last.name
        )),
    }
}

/// Whether a filter only looks on: Istio's statistics, and sniffers of protocols that are
/// not seen inside TLS.
fn is_idle(url: &str) -> bool {
    url == ISTIO_STATS || url == MYSQL || url == MongoProxy::type_url()
}

/// The type of a filter's settings; behind a `TypedStruct` the one that this names.
pub(super) fn type_url(filter: &Filter) -> String {
    match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => inner_type(any),
        _ => filter.name.clone(),
    }
}

fn inner_type(any: &Any) -> String {
    if !TYPED_STRUCTS.contains(&any.type_url.as_str()) {
        return any.type_url.clone();
    }
    let inner = super::wire::fields(&any.value).ok();
    let inner = inner.iter().flatten().find(|field| field.number == 1);
    inner.map_or_else(String::new, |field| {
        String::from_utf8_lossy(field.value).into_owned()
    })
}

fn by_source(policies: &[HashPolicy]) -> Result<bool, String> {
    match policies {
        [] => Ok(false),
        [
            HashPolicy {
                policy_specifier: Some(PolicySpecifier::SourceIp(_)),
            },
        ] => Ok(true),
        _ => Err("a hash of something else than the source address".to_owned()),
    }
}

/// Istio's statistics (istio/proxy `istio_stats.cc`); Envoy does not know them.
const ISTIO_STATS: &str = "type.googleapis.com/stats.PluginConfig";
/// Of Envoy's contrib build.
const MYSQL: &str =
    "type.googleapis.com/envoy.extensions.filters.network.mysql_proxy.v3.MySQLProxy";
const TYPED_STRUCTS: [&str; 2] = [
    "type.googleapis.com/udpa.type.v1.TypedStruct",
    "type.googleapis.com/xds.type.v3.TypedStruct",
];
