//! What a user writes for the `discovery` role.
//!
//! Parsing gives a [`Config`]; [`Config::validate`] gives either a [`Validated`] one, which
//! never changes, or every problem with its path.

use std::{fmt, net::SocketAddr, ops::Deref, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};
use trust::identity::TrustDomain;

use crate::model::{ClusterId, Network};

/// The settings of one discovery, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The own cluster's name.
    pub cluster: ClusterId,
    /// The own cluster's network; absent: the label `topology.istio.io/network` of the
    /// system namespace.
    #[serde(default)]
    pub network: Option<Network>,
    /// The trust domain of clusters without a `ConfigMap` `istio`.
    #[serde(default = "cluster_local")]
    pub trust_domain: TrustDomain,
    /// Where remote secrets, the `ConfigMap` `istio` and the network label are read.
    #[serde(default = "istio_system")]
    pub system_namespace: String,
    /// The suffix of service host names.
    #[serde(default = "cluster_domain")]
    pub cluster_domain: String,
    /// How to reach the own cluster; absent: the service account of the own pod.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// Which services may be reached from other clusters.
    #[serde(default)]
    pub exports: Exports,
    /// What other clusters may bring in.
    #[serde(default)]
    pub import: Import,
    /// The credential of our own servers.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Addresses to listen on.
    #[serde(default)]
    pub listen: Listen,
    /// Accounts whose proxies may say that they are gateways.
    #[serde(default)]
    pub gateways: Vec<GatewayAccount>,
    /// How the life of API servers is watched.
    #[serde(default)]
    pub heartbeat: Heartbeat,
    /// When changes leave.
    #[serde(default)]
    pub push: Push,
    /// What is kept over a restart; absent: nothing.
    #[serde(default)]
    pub state: Option<State>,
}

/// Which services may be reached from other clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exports {
    /// Those that somebody marked.
    #[default]
    Marked,
    /// All but Kubernetes' own, as Istio does; for meshes that are adopted.
    All,
}

/// What other clusters may bring in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Import {
    /// Pod and service ranges of the own cluster; absent: the `podCIDRs` of its nodes. No
    /// address there is taken from another cluster.
    pub own_ranges: Option<Vec<IpNet>>,
    /// Take loopback addresses, for worlds on one machine.
    pub allow_loopback: bool,
}

/// Where the own certificate, key and bundle lie.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Tls {
    /// A leaf directory as trust's `store` writes it.
    pub directory: PathBuf,
}

/// Addresses to listen on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Listen {
    /// xDS over mutual TLS; `null` turns it off.
    pub xds: Option<SocketAddr>,
    /// xDS in the clear, on loopback only.
    pub xds_plain_text: Option<SocketAddr>,
    /// Health, metrics and debug.
    pub debug: SocketAddr,
}

/// A service account of gateways.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GatewayAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
}

/// How the life of API servers is watched.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Heartbeat {
    /// From one heartbeat to the next; also the keepalive of watch connections.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    /// How long one may take.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// How old the last proof of life may be; also how long a watch connection may stay
    /// without an acknowledgement.
    #[serde(deserialize_with = "duration")]
    pub stale_after: Duration,
}

/// When changes leave.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Push {
    /// Additions leave when nothing changed for this long.
    #[serde(deserialize_with = "duration")]
    pub quiet: Duration,
    /// Additions never wait longer than this.
    #[serde(deserialize_with = "duration")]
    pub limit: Duration,
    /// Between two publications, removals too; they are gathered meanwhile.
    #[serde(deserialize_with = "duration")]
    pub gap: Duration,
    /// How long the first publication after a start waits for clusters that are missing.
    #[serde(deserialize_with = "duration")]
    pub first: Duration,
}

/// What is kept over a restart.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct State {
    /// Where; of one discovery alone, made when it does not exist.
    pub directory: PathBuf,
    /// From one write to the next at least.
    #[serde(default = "second", deserialize_with = "duration")]
    pub every: Duration,
}

/// Settings that hold: cheap to clone, never changed.
#[derive(Debug, Clone)]
pub struct Validated(Arc<Config>);

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the setting, such as `push.quiet`.
    pub path: String,
    /// What is wrong and what to write.
    pub message: String,
}

impl Config {
    /// Checks what the shape of the settings cannot say.
    ///
    /// # Errors
    /// Every problem that was found.
    pub fn validate(self) -> Result<Validated, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, path: &str, message: &str| {
            if !holds {
                problems.push(Problem {
                    path: path.to_owned(),
                    message: message.to_owned(),
                });
            }
        };
        check_names(&self, &mut check);
        check_listeners(&self, &mut check);
        check_times(&self, &mut check);
        check_state(&self, &mut check);
        if problems.is_empty() {
            Ok(Validated(Arc::new(self)))
        } else {
            Err(problems)
        }
    }
}

impl Deref for Validated {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.0
    }
}

impl Default for Listen {
    fn default() -> Self {
        let any = [0, 0, 0, 0];
        Self {
            xds: Some((any, 15112).into()),
            xds_plain_text: None,
            debug: (any, 15114).into(),
        }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(3),
            stale_after: Duration::from_secs(6),
        }
    }
}

impl Default for Push {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            limit: Duration::from_secs(1),
            gap: Duration::from_millis(10),
            first: Duration::from_secs(5),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

fn check_names(config: &Config, check: &mut impl FnMut(bool, &str, &str)) {
    check(
        is_secret_key(config.cluster.as_str()),
        "cluster",
        "a cluster is named as the keys of remote secrets are: letters, digits, '-', '_' and '.', 1 to 253 of them",
    );
    check(
        config
            .network
            .as_ref()
            .is_none_or(|n| is_secret_key(n.as_str())),
        "network",
        "a network is named by letters, digits, '-', '_' and '.'; leave it out to read the namespace's label",
    );
    check(
        is_dns_label(&config.system_namespace),
        "systemNamespace",
        "a namespace is named by lower-case letters, digits and '-', 63 at most",
    );
    check(
        !config.cluster_domain.is_empty() && config.cluster_domain.split('.').all(is_dns_label),
        "clusterDomain",
        "write a DNS name without a dot at its ends, such as cluster.local",
    );
    for (index, account) in config.gateways.iter().enumerate() {
        check(
            is_dns_label(&account.namespace),
            &format!("gateways[{index}].namespace"),
            "a namespace is named by lower-case letters, digits and '-', 63 at most",
        );
        check(
            !account.service_account.is_empty()
                && account.service_account.split('.').all(is_dns_label),
            &format!("gateways[{index}].serviceAccount"),
            "a service account is named by lower-case letters, digits, '-' and '.'",
        );
    }
}

fn check_listeners(config: &Config, check: &mut impl FnMut(bool, &str, &str)) {
    let listen = &config.listen;
    check(
        listen.xds.is_some() || listen.xds_plain_text.is_some(),
        "listen",
        "nobody could ask: set xds, or xdsPlainText on loopback",
    );
    check(
        listen.xds.is_none() || config.tls.is_some(),
        "tls",
        "listen.xds needs a leaf directory: set tls.directory (`isthmus trust issue` or `trust sds` writes one)",
    );
    check(
        listen.xds_plain_text.is_none_or(|a| a.ip().is_loopback()),
        "listen.xdsPlainText",
        "in the clear only on loopback: use 127.0.0.1 or ::1, or listen.xds with tls",
    );
}

fn check_times(config: &Config, check: &mut impl FnMut(bool, &str, &str)) {
    let (beat, push) = (&config.heartbeat, &config.push);
    for (path, value) in [
        ("heartbeat.interval", beat.interval),
        ("heartbeat.timeout", beat.timeout),
        ("push.limit", push.limit),
    ] {
        check(!value.is_zero(), path, "must be more than zero");
    }
    check(
        beat.stale_after > beat.interval,
        "heartbeat.staleAfter",
        "must be more than heartbeat.interval, or every cluster is stale between two heartbeats",
    );
    check(
        push.quiet <= push.limit,
        "push.quiet",
        "must not be more than push.limit, which ends the wait",
    );
    check(
        push.gap <= push.limit,
        "push.gap",
        "must not be more than push.limit",
    );
}

fn check_state(config: &Config, check: &mut impl FnMut(bool, &str, &str)) {
    let Some(state) = &config.state else { return };
    check(
        state.directory.is_absolute(),
        "state.directory",
        "write an absolute path, on a volume that outlives the process",
    );
    check(
        !state.every.is_zero(),
        "state.every",
        "must be more than zero",
    );
}

fn is_secret_key(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=253).contains(&name.len()) && name.bytes().all(allowed)
}

fn is_dns_label(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!(
            "`{text}` is no duration such as 100ms or 2s: {error}"
        ))
    })
}

#[expect(clippy::expect_used, reason = "the constant is a trust domain")]
fn cluster_local() -> TrustDomain {
    "cluster.local".parse().expect("a trust domain")
}

fn istio_system() -> String {
    "istio-system".to_owned()
}

fn cluster_domain() -> String {
    "cluster.local".to_owned()
}

fn second() -> Duration {
    Duration::from_secs(1)
}

#[cfg(test)]
mod tests;
