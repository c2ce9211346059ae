//! A port of a service as a sidecar dials it.

use std::time::Duration;

use envoy_types::pb::{
    envoy::config::{
        cluster::v3::{
            CircuitBreakers, Cluster as ClusterMessage,
            cluster::{
                ClusterDiscoveryType, CommonLbConfig, DiscoveryType, LbConfig, LbPolicy,
                TransportSocketMatch,
            },
        },
        core::v3::RoutingPriority,
    },
    google::protobuf::UInt32Value,
};

use super::{
    Assignment, Labels, Unfit, by_ads, duration, labels, message, not_understood, nothing_left,
    tls::{self, Transport},
};

/// Where endpoints come from, how one is dialled, and how long that may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Where its endpoints come from.
    pub source: Source,
    /// How long TCP and TLS may take together.
    pub connect_timeout: Duration,
    /// How an endpoint is dialled: as the first says whose labels it has; without any such
    /// in plain text.
    pub transports: Vec<(Labels, Transport)>,
}

/// Where endpoints come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The assignment of this name.
    Assigned(String),
    /// They are here, for good.
    Fixed(Assignment),
}

impl Cluster {
    /// Decodes a cluster.
    ///
    /// # Errors
    /// [`Unfit`], when something in it is not understood.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unfit> {
        let mut message: ClusterMessage = message(bytes)?;
        let name = std::mem::take(&mut message.name);
        // Metadata is for telemetry.
        message.metadata = None;
        balanced_by_weight(&mut message)?;
        unlimited(message.circuit_breakers.take())?;
        no_panic(message.common_lb_config.take())?;
        let decoded = Self {
            connect_timeout: duration(message.connect_timeout.take())?,
            transports: std::mem::take(&mut message.transport_socket_matches)
                .into_iter()
                .map(transport)
                .collect::<Result<_, _>>()?,
            source: source(&mut message, name)?,
        };
        nothing_left("a cluster", &message)?;
        Ok(decoded)
    }

    /// The place in `transports` of the one for an endpoint of these labels.
    #[must_use]
    pub fn transport(&self, endpoint: &Labels) -> Option<usize> {
        let fits = |(wanted, _): &(Labels, Transport)| {
            let mut wanted = wanted.iter();
            wanted.all(|(name, text)| endpoint.get(name) == Some(text))
        };
        self.transports.iter().position(fits)
    }
}

fn source(message: &mut ClusterMessage, name: String) -> Result<Source, Unfit> {
    let discovery = match message.cluster_discovery_type.take() {
        Some(ClusterDiscoveryType::Type(discovery)) => discovery,
        _ => return not_understood("a cluster's discovery type"),
    };
    match DiscoveryType::try_from(discovery) {
        Ok(DiscoveryType::Eds) => {
            let eds = message.eds_cluster_config.take().unwrap_or_default();
            by_ads(eds.eds_config)?;
            let assignment = match eds.service_name.is_empty() {
                true => name,
                false => eds.service_name,
            };
            Ok(Source::Assigned(assignment))
        }
        Ok(DiscoveryType::Static) => {
            let fixed = message.load_assignment.take().unwrap_or_default();
            Ok(Source::Fixed(Assignment::of(fixed)?))
        }
        _ => not_understood("a cluster's discovery type"),
    }
}

/// Least request without a bias by load: shares are weights. With the bias that Envoy has
/// by default they are only where there is one endpoint.
fn balanced_by_weight(message: &mut ClusterMessage) -> Result<(), Unfit> {
    let policy = std::mem::take(&mut message.lb_policy);
    if policy != i32::from(LbPolicy::LeastRequest) {
        return not_understood("a balancing policy other than LEAST_REQUEST");
    }
    let Some(config) = message.lb_config.take() else {
        let fixed = message.load_assignment.as_ref();
        let groups = fixed.map_or(&[][..], |fixed| &fixed.endpoints);
        return match groups.iter().map(|group| group.lb_endpoints.len()).sum() {
            0usize | 1 if fixed.is_some() => Ok(()),
            _ => not_understood("LEAST_REQUEST with a bias by load"),
        };
    };
    let LbConfig::LeastRequestLbConfig(mut config) = config else {
        return not_understood("a balancing policy other than LEAST_REQUEST");
    };
    match config.active_request_bias.take() {
        Some(bias) if bias.default_value == 0.0 => nothing_left("least request", &config),
        _ => not_understood("LEAST_REQUEST with a bias by load"),
    }
}

/// Nothing is limited here, so no limit may be asked for.
fn unlimited(breakers: Option<CircuitBreakers>) -> Result<(), Unfit> {
    let mut breakers = breakers.unwrap_or_default();
    for mut threshold in std::mem::take(&mut breakers.thresholds) {
        let limits = [
            threshold.max_connections.take(),
            threshold.max_pending_requests.take(),
            threshold.max_requests.take(),
            threshold.max_retries.take(),
        ];
        let unlimited =
            |limit: Option<UInt32Value>| limit.is_some_and(|limit| limit.value == u32::MAX);
        if !limits.into_iter().all(unlimited)
            || threshold.priority != i32::from(RoutingPriority::Default)
        {
            return not_understood("a circuit breaker that may open");
        }
        nothing_left("a circuit breaker", &threshold)?;
    }
    nothing_left("circuit breakers", &breakers)
}

/// An endpoint that is not healthy is never used, however many there are.
fn no_panic(config: Option<CommonLbConfig>) -> Result<(), Unfit> {
    let mut config = config.unwrap_or_default();
    match config.healthy_panic_threshold.take() {
        Some(threshold) if threshold.value == 0.0 => nothing_left("balancing", &config),
        _ => not_understood("a panic threshold other than 0"),
    }
}

fn transport(mut message: TransportSocketMatch) -> Result<(Labels, Transport), Unfit> {
    message.name.clear();
    let wanted = labels(message.r#match.take().unwrap_or_default())?;
    let transport = tls::transport(message.transport_socket.take())?;
    nothing_left("a transport socket match", &message)?;
    Ok((wanted, transport))
}
