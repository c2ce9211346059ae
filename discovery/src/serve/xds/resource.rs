//! Envoy's resources, made of plain facts: pure encoders, and the encoded bytes that all
//! viewers who are told the same share.
//!
//! The version of a resource is the hash of its bytes, so a viewer that comes back, also
//! to another replica, is sent only what differs. For this the bytes of one content are
//! always the same: maps are written in order ([`wire`]).

mod assignment;
mod cluster;
mod envoy;
mod listener;
mod route;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use envoy_types::pb::google::protobuf::Any;
use prost::Message;
use sha2::{Digest, Sha256};

pub use assignment::assignment;
pub use cluster::{gateway_cluster, inbound_cluster, sidecar_cluster};
pub use listener::{Inbound, inbound_listener, mesh_listener, outbound_listener};
pub use route::{Routes, no_routes};

/// The kinds of resources that are served, in the order in which additions are sent: who
/// is referred to goes before who refers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `Cluster`.
    Cluster,
    /// `ClusterLoadAssignment`.
    Assignment,
    /// `Listener`.
    Listener,
    /// `RouteConfiguration`.
    Route,
}

/// An encoded resource. A clone shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource(Arc<Encoded>);

#[derive(PartialEq, Eq)]
struct Encoded {
    name: Arc<str>,
    kind: Kind,
    version: u64,
    bytes: Bytes,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 4] = [Self::Cluster, Self::Assignment, Self::Listener, Self::Route];

    /// The kind of a type URL.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.url() == url)
    }

    /// Its type URL.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Assignment => {
                "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
            }
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// Its usual short name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "CDS",
            Self::Assignment => "EDS",
            Self::Listener => "LDS",
            Self::Route => "RDS",
        }
    }
}

impl Resource {
    /// Encodes a message under a name.
    #[must_use]
    pub fn encode(kind: Kind, name: &str, message: &impl Message) -> Self {
        Self::from_bytes(kind, name, message.encode_to_vec().into())
    }

    /// An assignment without endpoints: what is told of a cluster that is not known, so
    /// that nobody waits for it.
    #[must_use]
    pub fn empty(kind: Kind, name: &str) -> Option<Self> {
        match kind {
            Kind::Assignment => Some(assignment(name, "", &[])),
            Kind::Route => Some(no_routes(name)),
            Kind::Cluster | Kind::Listener => None,
        }
    }

    /// The same resource in a version that changes also when `other` does: Envoy warms a
    /// changed cluster with an assignment that comes after it, and waits if none comes.
    #[must_use]
    pub fn follows(&self, other: &Self) -> Self {
        let both = [self.0.version, other.0.version].map(u64::to_be_bytes);
        Self(Arc::new(Encoded {
            name: Arc::clone(&self.0.name),
            kind: self.0.kind,
            version: hash(&both.concat()),
            bytes: self.0.bytes.clone(),
        }))
    }

    fn from_bytes(kind: Kind, name: &str, bytes: Bytes) -> Self {
        Self(Arc::new(Encoded {
            name: name.into(),
            kind,
            version: hash(&bytes),
            bytes,
        }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The hash of its content.
    #[must_use]
    pub fn version(&self) -> String {
        format!("{:016x}", self.0.version)
    }

    /// The encoded message.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// As it goes on the wire.
    #[must_use]
    pub fn to_any(&self) -> Any {
        Any {
            type_url: self.0.kind.url().to_owned(),
            value: self.0.bytes.to_vec(),
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .take(8)
        .fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} @{}",
            self.kind().as_str(),
            self.name(),
            self.version()
        )
    }
}
