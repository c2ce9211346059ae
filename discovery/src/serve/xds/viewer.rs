//! Who asks, and whether it may: the node id beside the certificate.
//!
//! Namespace and account come from the certificate, cluster and network from our own
//! configuration; what the node says of itself is believed only where it agrees. Without
//! TLS (loopback, by an explicit setting) the node id is believed.

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use envoy_types::pb::{
    envoy::config::core::v3::Node,
    google::protobuf::{Value, value::Kind::StringValue},
};
use trust::identity::SpiffeId;

use crate::{config::GatewayAccount, horizon::Role, model::ClusterId};

/// A proxy that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// Its node id, as it wrote it.
    pub node: Arc<str>,
    /// What it does.
    pub role: Role,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// The name of its pod.
    pub pod: Arc<str>,
    /// Where its own application is, and looks for it: its metadata's `LOOPBACK`, for pods
    /// that share one loopback device, else 127.0.0.1.
    pub loopback: IpAddr,
    /// Who its certificate says it is; `None` without TLS.
    pub identity: Option<SpiffeId>,
}

/// Whom a cluster's discovery serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The own cluster.
    pub cluster: ClusterId,
    /// The accounts that may ask as gateways.
    pub gateways: Vec<GatewayAccount>,
}

/// Why a proxy is not served. The text tells its operator what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No node in the first request of the stream.
    #[error("the first request of a stream must carry the node: set node.id in the bootstrap")]
    NoNode,
    /// A node id of another form.
    #[error(
        "node id `{0}` is not of the form sidecar~IP~POD.NAMESPACE~DOMAIN or router~IP~POD.NAMESPACE~DOMAIN"
    )]
    Malformed(String),
    /// A certificate that is not a workload's.
    #[error(
        "certificate `{0}` names no namespace: use one for spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT"
    )]
    NoWorkload(SpiffeId),
    /// Another namespace than the certificate's.
    #[error(
        "the node says namespace `{claimed}`, its certificate `{identity}`: set the namespace in node.id to the certificate's"
    )]
    Namespace {
        /// What the node says.
        claimed: String,
        /// What the certificate says.
        identity: SpiffeId,
    },
    /// Another cluster than ours.
    #[error(
        "the node says cluster `{claimed}`, this discovery serves `{own}`: point the proxy at its own cluster's discovery"
    )]
    Cluster {
        /// What the node says.
        claimed: String,
        /// Whom we serve.
        own: ClusterId,
    },
    /// A gateway whose account is not in the list.
    #[error(
        "`{0}` is not listed as a gateway: add its namespace and account to `gateways` of discovery's configuration"
    )]
    NotAGateway(SpiffeId),
    /// More names than a stream may ask for.
    #[error("more than {0} names of one kind on one stream: raise the limit, or ask for fewer")]
    TooManyNames(usize),
    /// A name that is too long.
    #[error("a resource name of {0} bytes is too long")]
    LongName(usize),
    /// No first request in time.
    #[error("no request within {0:?} of the stream's begin")]
    Silent(Duration),
    /// As many viewers as there may be.
    #[error("{0} viewers are connected, as many as the limit allows: try again, or raise it")]
    TooManyViewers(usize),
}

impl Admission {
    /// The viewer that `node` is, with this certificate (`None` without TLS).
    ///
    /// # Errors
    /// Why it is not served.
    pub fn admit(&self, node: &Node, identity: Option<SpiffeId>) -> Result<Viewer, Refusal> {
        let malformed = || Refusal::Malformed(node.id.clone());
        let (role, namespace, pod) = parse(&node.id).ok_or_else(malformed)?;
        if let Some(claimed) = claimed_cluster(node)
            && claimed != self.cluster.as_str()
        {
            return Err(Refusal::Cluster {
                claimed: claimed.to_owned(),
                own: self.cluster.clone(),
            });
        }
        if let Some(identity) = &identity {
            self.check(role, namespace, identity)?;
        }
        Ok(Viewer {
            node: node.id.as_str().into(),
            role,
            namespace: namespace.into(),
            pod: pod.into(),
            loopback: claimed_loopback(node).unwrap_or(Ipv4Addr::LOCALHOST.into()),
            identity,
        })
    }

    fn check(&self, role: Role, namespace: &str, identity: &SpiffeId) -> Result<(), Refusal> {
        let workload = identity.namespace().zip(identity.service_account());
        let Some((own, account)) = workload else {
            return Err(Refusal::NoWorkload(identity.clone()));
        };
        if own != namespace {
            return Err(Refusal::Namespace {
                claimed: namespace.to_owned(),
                identity: identity.clone(),
            });
        }
        let account = GatewayAccount {
            namespace: own.to_owned(),
            service_account: account.to_owned(),
        };
        if role == Role::Gateway && !self.gateways.contains(&account) {
            return Err(Refusal::NotAGateway(identity.clone()));
        }
        Ok(())
    }
}

impl Refusal {
    /// Every label of [`Refusal::as_str`].
    pub const LABELS: [&'static str; 10] = [
        "no_node",
        "malformed_node",
        "no_workload",
        "wrong_namespace",
        "wrong_cluster",
        "not_a_gateway",
        "too_many_names",
        "long_name",
        "too_many_viewers",
        "silent",
    ];

    /// Its answer on the wire.
    #[must_use]
    pub fn code(&self) -> tonic::Code {
        match self {
            Self::NoNode | Self::Malformed(_) => tonic::Code::InvalidArgument,
            Self::NoWorkload(_)
            | Self::Namespace { .. }
            | Self::Cluster { .. }
            | Self::NotAGateway(_) => tonic::Code::PermissionDenied,
            Self::TooManyNames(_) | Self::LongName(_) | Self::TooManyViewers(_) => {
                tonic::Code::ResourceExhausted
            }
            Self::Silent(_) => tonic::Code::DeadlineExceeded,
        }
    }

    /// As a metric's label.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoNode => "no_node",
            Self::Malformed(_) => "malformed_node",
            Self::NoWorkload(_) => "no_workload",
            Self::Namespace { .. } => "wrong_namespace",
            Self::Cluster { .. } => "wrong_cluster",
            Self::NotAGateway(_) => "not_a_gateway",
            Self::TooManyNames(_) => "too_many_names",
            Self::LongName(_) => "long_name",
            Self::TooManyViewers(_) => "too_many_viewers",
            Self::Silent(_) => "silent",
        }
    }
}

impl From<Refusal> for tonic::Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.to_string())
    }
}

/// `KIND~IP~POD.NAMESPACE~DOMAIN`; a pod's name may have dots in it, a namespace not.
fn parse(id: &str) -> Option<(Role, &str, &str)> {
    let mut parts = id.split('~');
    let (kind, address, name, domain) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let role = match kind {
        "sidecar" => Role::Sidecar,
        "router" => Role::Gateway,
        _ => return None,
    };
    address.parse::<IpAddr>().ok()?;
    let (pod, namespace) = name.rsplit_once('.')?;
    let whole = !pod.is_empty() && !namespace.is_empty() && !domain.is_empty();
    (whole && parts.next().is_none() && id.len() <= MAX_ID).then_some((role, namespace, pod))
}

/// What Istio's proxies write into their metadata.
fn claimed_cluster(node: &Node) -> Option<&str> {
    text(node, "CLUSTER_ID")
}

/// Believed, since it leads nobody else anywhere.
fn claimed_loopback(node: &Node) -> Option<IpAddr> {
    let address: IpAddr = text(node, "LOOPBACK")?.parse().ok()?;
    address.is_loopback().then_some(address)
}

fn text<'a>(node: &'a Node, field: &str) -> Option<&'a str> {
    match node.metadata.as_ref()?.fields.get(field) {
        Some(Value {
            kind: Some(StringValue(text)),
        }) => Some(text),
        _ => None,
    }
}

/// Four parts that Kubernetes limits to 253 bytes each fit.
const MAX_ID: usize = 1024;
