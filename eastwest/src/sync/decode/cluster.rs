//! A cluster: one service port and how its endpoints are reached.

use std::sync::Arc;

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{
                Cluster as Message, OutlierDetection,
                cluster::{
                    ClusterDiscoveryType, DiscoveryType, LbPolicy, TransportSocketMatch,
                    common_lb_config::LocalityConfigSpecifier,
                },
            },
            core::v3::{Metadata, RoutingPriority, transport_socket::ConfigType},
        },
        extensions::transport_sockets::raw_buffer::v3::RawBuffer,
    },
    google::protobuf::{UInt32Value, value::Kind as ValueKind},
};
use prost::Name;

use super::{Unfit, field, kind, message, not_understood, span, text};
use crate::{
    config::{Eject, Span},
    route::Service,
};

/// What of a cluster decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The name under which its assignment is asked for, where it is not its own.
    pub alias: Option<Box<str>>,
    /// The service.
    pub service: Arc<Service>,
    /// A limit for dialling.
    pub connect_timeout: Option<Span>,
    /// What its endpoints are spoken to with.
    pub upstream: Upstream,
    /// Connections open at once.
    pub max_connections: Option<u32>,
    /// When an endpoint that cannot be reached is ejected.
    pub eject: Option<Eject>,
    /// Whether a hash may choose the endpoint.
    pub hashes: bool,
    /// Whether localities have shares of their own.
    pub by_locality: bool,
}

/// What endpoints are spoken to with. A gateway without a certificate passes bytes as they
/// are, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// The client's bytes.
    Raw,
    /// The client's bytes, but Istio's TLS around them where the endpoint says `tlsMode:
    /// istio`.
    RawUnlessMutual,
}

impl Cluster {
    /// Decodes a cluster.
    ///
    /// # Errors
    /// [`Unfit`], when it is none, has no EDS, or wants TLS on the way to all endpoints.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unfit> {
        let cluster: Message = message(bytes)?;
        let eds = ClusterDiscoveryType::Type(DiscoveryType::Eds.into());
        if cluster.cluster_discovery_type != Some(eds) {
            return not_understood("a cluster that is not of type EDS");
        }
        if cluster.transport_socket.is_some() {
            return not_understood("a cluster with a transport socket");
        }
        let upstream = upstream(&cluster.transport_socket_matches)?;
        let locality = cluster.common_lb_config.as_ref();
        let locality = locality.and_then(|c| c.locality_config_specifier.as_ref());
        let hashes = matches!(cluster.lb_policy(), LbPolicy::RingHash | LbPolicy::Maglev);
        let by_locality = matches!(
            locality,
            Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_))
        );
        let max_connections = max_connections(&cluster);
        let eject = cluster.outlier_detection.as_ref().map(eject);
        let alias = cluster.eds_cluster_config.map(|eds| eds.service_name);
        let alias = alias.filter(|alias| !alias.is_empty() && *alias != cluster.name);
        Ok(Self {
            alias: alias.map(String::into_boxed_str),
            service: Arc::new(service(cluster.metadata.as_ref())),
            connect_timeout: cluster.connect_timeout.and_then(span),
            upstream,
            max_connections,
            eject,
            hashes,
            by_locality,
        })
    }

    /// The name of its assignment; it is `own` where nothing else was said.
    #[must_use]
    pub fn assignment<'a>(&'a self, own: &'a str) -> &'a str {
        self.alias.as_deref().unwrap_or(own)
    }
}

/// Istio's automatic mTLS: TLS for endpoints of `tlsMode: istio`, raw for all others.
fn upstream(matches: &[TransportSocketMatch]) -> Result<Upstream, Unfit> {
    let is_raw = |of: &TransportSocketMatch| {
        let socket = of.transport_socket.as_ref();
        let config = socket.and_then(|socket| socket.config_type.as_ref());
        matches!(config, Some(ConfigType::TypedConfig(any)) if any.type_url == RawBuffer::type_url())
    };
    let is_mutual = |of: &TransportSocketMatch| {
        let rule = of.r#match.as_ref().filter(|rule| rule.fields.len() == 1);
        rule.and_then(|rule| text(field(rule, "tlsMode")?)) == Some("istio")
    };
    let is_any = |of: &TransportSocketMatch| {
        let rule = of.r#match.as_ref();
        rule.is_none_or(|rule| rule.fields.is_empty())
    };
    match matches {
        [] => Ok(Upstream::Raw),
        [mutual, rest] if is_mutual(mutual) && is_any(rest) && is_raw(rest) => {
            Ok(Upstream::RawUnlessMutual)
        }
        _ => not_understood("transport sockets other than Istio's automatic mTLS"),
    }
}

/// The limit of ordinary requests; Istio writes the highest number for none.
fn max_connections(cluster: &Message) -> Option<u32> {
    let breakers = cluster.circuit_breakers.as_ref()?;
    let mut all = breakers.thresholds.iter();
    let ordinary = all.find(|t| t.priority() == RoutingPriority::Default)?;
    let limit = ordinary.max_connections.as_ref()?.value;
    (limit < u32::MAX).then_some(limit)
}

/// What of outlier detection connects can fall under: to Envoy a failed one is a 5xx and a
/// gateway's error, or, where it splits them, an error of local origin. Shares of ejected
/// endpoints need no limit here: nobody is refused for them.
fn eject(outlier: &OutlierDetection) -> Eject {
    let number = |value: Option<&UInt32Value>, default| value.map_or(default, |v| v.value);
    let rule = |failures, enforced, by_default| {
        let is_enforced = number(enforced, by_default) > 0;
        is_enforced
            .then(|| number(failures, 5))
            .filter(|failures| *failures > 0)
    };
    let failures = if outlier.split_external_local_origin_errors {
        let failures = outlier.consecutive_local_origin_failure.as_ref();
        let enforced = outlier.enforcing_consecutive_local_origin_failure.as_ref();
        rule(failures, enforced, 100)
    } else {
        let failures = outlier.consecutive_5xx.as_ref();
        let fives = rule(failures, outlier.enforcing_consecutive_5xx.as_ref(), 100);
        let failures = outlier.consecutive_gateway_failure.as_ref();
        let enforced = outlier.enforcing_consecutive_gateway_failure.as_ref();
        fives.into_iter().chain(rule(failures, enforced, 0)).min()
    };
    let time = outlier.base_ejection_time.and_then(span);
    Eject {
        failures: failures.unwrap_or(0),
        time: time
            .filter(|time| !time.0.is_zero())
            .unwrap_or(Span::seconds(30)),
    }
}

/// Istio's `services[0]` of {host, name, namespace}; unknown where it is not said.
fn service(metadata: Option<&Metadata>) -> Service {
    let first = || {
        let istio = metadata?.filter_metadata.get("istio")?;
        let ValueKind::ListValue(list) = field(istio, "services")? else {
            return None;
        };
        match kind(list.values.first()?)? {
            ValueKind::StructValue(first) => Some(first),
            _ => None,
        }
    };
    let Some(first) = first() else {
        return Service::default();
    };
    let part = |key| field(first, key).and_then(text).unwrap_or_default().into();
    Service {
        host: part("host"),
        name: part("name"),
        namespace: part("namespace"),
    }
}
