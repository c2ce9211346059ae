//! What a user writes in `eastwest.yaml`, and the check that finds all of its mistakes.
//!
//! [`Config`] is what the file says, [`Validated`] what a gateway can be started with.
//! Nothing here opens a socket or a file.

mod quantity;
mod validate;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trust::identity::SpiffeId;

use crate::passthrough::names::{Names, Pattern};

pub use quantity::{Bytes, Span};
pub use validate::{Problem, Validated};

/// The settings of one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The cluster that the gateway stands in.
    pub cluster: String,
    /// The network whose edge it is.
    pub network: String,
    /// Who this gateway is.
    pub node: Node,
    /// Where it listens.
    #[serde(default)]
    pub listen: Listen,
    /// Worker threads; 0 is one per core.
    #[serde(default)]
    pub workers: usize,
    /// Where its routes come from.
    pub source: Source,
    /// What is kept over a restart; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// What listeners for any name carry.
    #[serde(default)]
    pub passthrough: Passthrough,
    /// Limits of a ClientHello.
    #[serde(default)]
    pub hello: Hello,
    /// Limits over all connections.
    #[serde(default)]
    pub limits: Limits,
    /// How endpoints are reached.
    #[serde(default)]
    pub dial: Dial,
    /// How bytes are carried.
    #[serde(default)]
    pub relay: Relay,
    /// How it ends.
    #[serde(default)]
    pub drain: Drain,
    /// Whether each connection gets a line of the access log.
    #[serde(default = "yes")]
    pub access_log: bool,
}

/// Who a gateway is, to its control plane and in Istio's metric labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// The pod's name.
    pub pod: String,
    /// Its namespace; the certificate must name the same.
    pub namespace: String,
    /// The pod's address.
    pub address: IpAddr,
    /// The Deployment's name.
    pub workload: String,
    /// Label `service.istio.io/canonical-name`; the workload's name when absent.
    #[serde(default)]
    pub canonical_name: Option<String>,
    /// Label `service.istio.io/canonical-revision`.
    #[serde(default)]
    pub canonical_revision: Option<String>,
    /// The cluster's DNS domain.
    #[serde(default = "cluster_local")]
    pub domain: String,
}

/// The sockets of a gateway. All but `mesh` are served by the process around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Listen {
    /// TLS of the mesh, routed by SNI.
    pub mesh: SocketAddr,
    /// `/healthz/ready`.
    pub readiness: SocketAddr,
    /// `/metrics`.
    pub metrics: SocketAddr,
    /// Debug views.
    pub debug: SocketAddr,
}

/// Where the routes come from: exactly one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// A control plane that speaks delta ADS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xds: Option<Xds>,
    /// An istiod: it says where to listen, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub istiod: Option<Istiod>,
    /// A file with static routes, read again when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// A control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Xds {
    /// `host:port`.
    pub address: String,
    /// The identity that its certificate must carry.
    #[serde(default)]
    pub identity: Option<SpiffeId>,
    /// The gateway's own certificate.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Speak without TLS; only to a loopback address.
    #[serde(default)]
    pub plain_text: bool,
}

/// An istiod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Istiod {
    /// `host:port`, with port 15012 for TLS, 15010 for plain text.
    pub address: String,
    /// The name that its certificate must be for; the host of `address` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The mesh's root certificates, read at each connect.
    #[serde(default = "istio_root")]
    pub root: PathBuf,
    /// The service account's token for audience `istio-ca`, read at each connect.
    #[serde(default = "istio_token")]
    pub token: PathBuf,
    /// Speak without TLS and token.
    #[serde(default)]
    pub plain_text: bool,
    /// Further metadata of the calls.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Further metadata of the node, such as LABELS; the gateway adds its own.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// How long a route stays that an istiod, just connected to, does not confirm: one that
    /// restarts beside a dead API server says less than there is.
    #[serde(default = "minute")]
    pub hold: Span,
}

/// A certificate on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// A leaf directory: `cert-chain.pem`, `key.pem`, `root-cert.pem`; followed when it
    /// changes.
    pub directory: PathBuf,
}

/// What is kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// Where; of one gateway alone, made when it does not exist.
    pub directory: PathBuf,
    /// From one write to the next at least.
    #[serde(default = "second")]
    pub every: Span,
}

/// What listeners for any name carry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Passthrough {
    /// Names that a chain without server names may carry, each with at most one `*`; the
    /// istiods of the gateway's namespace when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<Pattern>>,
}

/// Limits of a ClientHello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Hello {
    /// Its length, record headers included.
    pub bytes: Bytes,
    /// Time from accept until it is whole.
    pub timeout: Span,
}

/// Limits over all connections of the process; at each of them the newest is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Open connections; the newest is refused.
    pub connections: u32,
    /// Open connections of one source: an IPv4 address, or an IPv6 /64.
    pub connections_per_source: u32,
    /// Connections whose ClientHello is not whole yet.
    pub waiting_hellos: u32,
    /// Those of one source. Keep it well below `waiting_hellos`: then no single source
    /// keeps others out by saying nothing.
    pub waiting_hellos_per_source: u32,
}

/// How endpoints are reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Dial {
    /// Time for one attempt.
    pub timeout: Span,
    /// Endpoints tried before the connection is closed.
    pub attempts: u8,
    /// Whether loopback addresses may be dialled.
    pub allow_loopback: bool,
    /// The only ranges dialled; empty for all but loopback, link-local and metadata.
    pub allow: Vec<IpNet>,
    /// When an endpoint is left out as long as there are others; where a route has a rule of
    /// its own (an istiod's outlier detection) that one counts.
    pub eject: Eject,
}

/// When an endpoint that cannot be reached is left out, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Eject {
    /// Attempts that fail in a row; 0 for never.
    pub failures: u32,
    /// For how long the first time; each further time in a row adds as much, up to 5 minutes.
    pub time: Span,
}

/// How bytes are carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Relay {
    /// A connection on which nothing moves for this long is closed.
    pub idle: Span,
    /// TCP keepalive: silence before the first probe.
    pub keepalive: Span,
    /// `TCP_USER_TIMEOUT`: a peer that acknowledges nothing, or keeps its window shut,
    /// for this long is gone.
    pub user_timeout: Span,
    /// Pipes for `splice`, over all workers; 0 copies everything.
    pub pipes: u32,
}

/// How a gateway ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Drain {
    /// Connections open after this long are cut.
    pub limit: Span,
}

impl Passthrough {
    /// The names that count for this gateway.
    #[must_use]
    pub fn names(&self, node: &Node) -> Names {
        match &self.names {
            Some(names) => Names::new(names.clone()),
            None => Names::of_istiod(&node.namespace, &node.domain),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        Self {
            mesh: any(15443),
            readiness: any(15021),
            metrics: any(15020),
            debug: SocketAddr::from(([127, 0, 0, 1], 15000)),
        }
    }
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            bytes: Bytes(16 * 1024),
            timeout: Span::seconds(15),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            connections_per_source: 16_384,
            waiting_hellos: 16_384,
            waiting_hellos_per_source: 1024,
        }
    }
}

impl Default for Dial {
    fn default() -> Self {
        Self {
            timeout: Span::seconds(2),
            attempts: 3,
            allow_loopback: false,
            allow: Vec::new(),
            eject: Eject::default(),
        }
    }
}

impl Default for Eject {
    fn default() -> Self {
        Self {
            failures: 3,
            time: Span::seconds(5),
        }
    }
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            idle: Span::seconds(3600),
            keepalive: Span::seconds(60),
            user_timeout: Span::seconds(120),
            pipes: 256,
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            limit: Span::seconds(45),
        }
    }
}

fn cluster_local() -> String {
    "cluster.local".to_owned()
}

fn istio_root() -> PathBuf {
    "/var/run/secrets/istio/root-cert.pem".into()
}

fn istio_token() -> PathBuf {
    "/var/run/secrets/tokens/istio-token".into()
}

fn minute() -> Span {
    Span::seconds(60)
}

fn second() -> Span {
    Span::seconds(1)
}

fn yes() -> bool {
    true
}
