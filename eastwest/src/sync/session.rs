//! One delta xDS stream, without the stream: which requests to send, and what a response
//! may be answered with.
//!
//! An answer (ACK or NACK) exists only as an [`Answer`], which comes from a response to a
//! type subscribed on this very stream, and is used up by answering: a NACK for anything
//! else kills an istiod (`xds/delta.go`), so it cannot be written down here.
//! Subscriptions go in requests of their own, without a nonce, because a request with an
//! old nonce is thrown away whole.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use envoy_types::pb::{
    envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest},
    google::rpc::Status,
};
use serde::Serialize;

use super::message::{Resource, Response};

/// The types of resources that a gateway asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Services (CDS).
    Cluster,
    /// Listeners and their chains (LDS).
    Listener,
    /// Endpoints (EDS).
    Assignment,
}

/// The state of one stream.
#[derive(Debug)]
pub struct Session {
    /// Sent with the first request only.
    node: Option<Node>,
    /// Kinds with a subscription on this stream.
    subscribed: BTreeSet<Kind>,
    /// Kinds that were answered on this stream.
    answered: BTreeSet<Kind>,
    /// Assignments subscribed by name.
    names: HashSet<Arc<str>>,
}

/// The right to answer one response, once.
#[derive(Debug)]
pub struct Answer<'s> {
    /// An answer belongs to the stream that brought the response.
    _session: &'s Session,
    kind: Kind,
    nonce: String,
}

/// What a response says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The type of all its resources.
    pub kind: Kind,
    /// New and changed resources: name and bytes.
    pub resources: Vec<(String, Bytes)>,
    /// Names that are gone.
    pub removed: Vec<String>,
    /// Whether this is the whole set: the first response to a wildcard on a stream. What
    /// it does not name is gone.
    pub whole: bool,
}

/// A response to something that was not asked for on this stream: not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a response of type `{0}` that was not asked for")]
pub struct Unasked(pub String);

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cluster, Self::Listener, Self::Assignment];

    /// The type's URL on the wire.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Assignment => {
                "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
            }
        }
    }

    /// The value of the metric label `type`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Cluster => "cds",
            Self::Listener => "lds",
            Self::Assignment => "eds",
        }
    }

    fn of(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.url() == url)
    }
}

impl Session {
    /// A stream on which nothing was said yet.
    #[must_use]
    pub fn new(node: Node) -> Self {
        Self {
            node: Some(node),
            subscribed: BTreeSet::new(),
            answered: BTreeSet::new(),
            names: HashSet::new(),
        }
    }

    /// Asks for everything of a kind, saying which names are `known` from before: those that
    /// are gone are named in the answer then. A second time would make an istiod send all
    /// again, so there is none.
    pub fn everything(
        &mut self,
        kind: Kind,
        known: impl IntoIterator<Item = String>,
    ) -> Option<DeltaDiscoveryRequest> {
        if !self.subscribed.insert(kind) {
            return None;
        }
        let mut request = self.request(kind, vec!["*".to_owned()], Vec::new());
        // istiod gives no versions, and sends all again whatever is said of them.
        let known = known.into_iter().map(|name| (name, String::new()));
        request.initial_resource_versions = known.take(MOST_NAMES + 1).collect();
        if request.initial_resource_versions.len() > MOST_NAMES {
            // Without them the answer is the whole set, which says the same.
            request.initial_resource_versions.clear();
        }
        Some(request)
    }

    /// Asks to be told everything of a kind once more.
    pub fn again(&mut self, kind: Kind) -> DeltaDiscoveryRequest {
        self.subscribed.insert(kind);
        self.request(kind, vec!["*".to_owned()], Vec::new())
    }

    /// Asks for exactly these assignments, in as many requests as that takes: none when it
    /// is so already. A request without names would ask for all, so it is never made.
    pub fn assignments(&mut self, wanted: &HashSet<Arc<str>>) -> Vec<DeltaDiscoveryRequest> {
        let names = |all: Vec<&Arc<str>>| -> Vec<String> {
            all.into_iter().map(ToString::to_string).collect()
        };
        let subscribe = names(wanted.difference(&self.names).collect());
        let unsubscribe = names(self.names.difference(wanted).collect());
        let subscribe = subscribe.chunks(MOST_NAMES).map(|names| (names, &[][..]));
        let unsubscribe = unsubscribe.chunks(MOST_NAMES).map(|names| (&[][..], names));
        let parts: Vec<_> = subscribe.chain(unsubscribe).collect();
        if parts.is_empty() {
            return Vec::new();
        }
        self.names.clone_from(wanted);
        self.subscribed.insert(Kind::Assignment);
        let request = |(more, fewer): (&[String], &[String])| {
            self.request(Kind::Assignment, more.to_vec(), fewer.to_vec())
        };
        parts.into_iter().map(request).collect()
    }

    /// Takes a response.
    ///
    /// # Errors
    /// [`Unasked`], when its type has no subscription on this stream.
    pub fn receive(&mut self, response: Response) -> Result<(Answer<'_>, Update), Unasked> {
        let kind = Kind::of(&response.type_url).filter(|kind| self.subscribed.contains(kind));
        let Some(kind) = kind.filter(|_| !response.nonce.is_empty()) else {
            return Err(Unasked(response.type_url));
        };
        let first = self.answered.insert(kind);
        let update = Update {
            kind,
            resources: response.resources.into_iter().filter_map(body).collect(),
            removed: response.removed_resources,
            whole: first && kind != Kind::Assignment,
        };
        let answer = Answer {
            _session: self,
            kind,
            nonce: response.nonce,
        };
        Ok((answer, update))
    }

    fn request(
        &mut self,
        kind: Kind,
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
    ) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            node: self.node.take(),
            type_url: kind.url().to_owned(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            ..Default::default()
        }
    }
}

impl Answer<'_> {
    /// The response was taken.
    #[must_use]
    pub fn ack(self) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            type_url: self.kind.url().to_owned(),
            response_nonce: self.nonce,
            ..Default::default()
        }
    }

    /// Parts of the response were refused; the rest of it was taken.
    #[must_use]
    pub fn nack(self, why: String) -> DeltaDiscoveryRequest {
        let status = Status {
            code: INVALID_ARGUMENT,
            message: why,
            ..Default::default()
        };
        DeltaDiscoveryRequest {
            error_detail: Some(status),
            ..self.ack()
        }
    }
}

/// A resource without a body only renews a lease that we do not keep.
fn body(resource: Resource) -> Option<(String, Bytes)> {
    Some((resource.name, resource.resource?.value))
}

const INVALID_ARGUMENT: i32 = 3;
/// Names in one request: with the longest that there are it stays below the 4 MiB that an
/// istiod takes.
const MOST_NAMES: usize = 12_000;

#[cfg(test)]
mod tests;
