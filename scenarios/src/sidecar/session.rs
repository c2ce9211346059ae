//! One delta ADS stream, without the stream: what to ask for, and how to answer. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::Cluster, core::v3::Node, endpoint::v3::ClusterLoadAssignment,
            listener::v3::Listener, route::v3::RouteConfiguration,
        },
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    },
    google::rpc::Status,
};
use prost::Name;

/// The types of resources that a sidecar asks for, in the order in which it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `Cluster` (CDS).
    Cluster,
    /// `ClusterLoadAssignment` (EDS).
    Assignment,
    /// `Listener` (LDS).
    Listener,
    /// `RouteConfiguration` (RDS).
    Route,
}

/// The state of one stream.
#[derive(Debug)]
pub struct Session {
    /// Sent with the first request only.
    node: Option<Node>,
    /// What is subscribed, by kind.
    names: BTreeMap<Kind, BTreeSet<String>>,
}

/// The right to answer one response.
#[derive(Debug)]
pub struct Answer {
    kind: Kind,
    nonce: String,
}

/// What a response says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The type of all its resources.
    pub kind: Kind,
    /// New and changed resources.
    pub resources: Vec<Resource>,
    /// Names that are gone.
    pub removed: Vec<String>,
}

/// A resource, not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// Its version, of which a sidecar knows only whether it is the same.
    pub version: String,
    /// Its encoding.
    pub bytes: Vec<u8>,
}

/// A response of a type that was not asked for on this stream: not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a response of type `{0}` that was not asked for")]
pub struct Unasked(pub String);

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cluster, Self::Assignment, Self::Listener, Self::Route];

    /// The type's URL on the wire.
    #[must_use]
    pub fn url(self) -> String {
        match self {
            Self::Cluster => Cluster::type_url(),
            Self::Assignment => ClusterLoadAssignment::type_url(),
            Self::Listener => Listener::type_url(),
            Self::Route => RouteConfiguration::type_url(),
        }
    }

    /// Its usual short name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cds",
            Self::Assignment => "eds",
            Self::Listener => "lds",
            Self::Route => "rds",
        }
    }
}

impl Session {
    /// A stream on which nothing was said yet.
    #[must_use]
    pub fn new(node: Node) -> Self {
        Self {
            node: Some(node),
            names: BTreeMap::new(),
        }
    }

    /// Asks for exactly these names of a kind ([`EVERYTHING`] is one); nothing to send when
    /// that is so already. The first request of a kind says what is `known` from before this
    /// stream. A first request without names would ask for everything, so it is never made.
    pub fn want(
        &mut self,
        kind: Kind,
        wanted: BTreeSet<String>,
        known: impl FnOnce() -> HashMap<String, String>,
    ) -> Option<DeltaDiscoveryRequest> {
        if wanted.is_empty() && !self.names.contains_key(&kind) {
            return None;
        }
        let before = self.names.insert(kind, wanted.clone());
        let first = before.is_none();
        let before = before.unwrap_or_default();
        let subscribe: Vec<String> = wanted.difference(&before).cloned().collect();
        let unsubscribe: Vec<String> = before.difference(&wanted).cloned().collect();
        let nothing = subscribe.is_empty() && unsubscribe.is_empty();
        (!nothing).then(|| DeltaDiscoveryRequest {
            node: self.node.take(),
            type_url: kind.url(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            initial_resource_versions: if first { known() } else { HashMap::new() },
            ..Default::default()
        })
    }

    /// Takes a response.
    ///
    /// # Errors
    /// [`Unasked`], when its type has no subscription on this stream.
    pub fn receive(
        &mut self,
        response: DeltaDiscoveryResponse,
    ) -> Result<(Answer, Update), Unasked> {
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| kind.url() == response.type_url && self.names.contains_key(kind));
        let Some(kind) = kind else {
            return Err(Unasked(response.type_url));
        };
        // A resource without a body would only renew a lease, and we keep none.
        let resources = response.resources.into_iter().filter_map(|resource| {
            Some(Resource {
                name: resource.name,
                version: resource.version,
                bytes: resource.resource?.value,
            })
        });
        let update = Update {
            kind,
            resources: resources.collect(),
            removed: response.removed_resources,
        };
        let nonce = response.nonce;
        Ok((Answer { kind, nonce }, update))
    }
}

impl Answer {
    /// The response was taken, but for what was `refused`: each with its reason.
    #[must_use]
    pub fn give(self, refused: &[String]) -> DeltaDiscoveryRequest {
        let detail = || Status {
            code: INVALID_ARGUMENT,
            message: refused.join("; "),
            ..Default::default()
        };
        DeltaDiscoveryRequest {
            type_url: self.kind.url(),
            response_nonce: self.nonce,
            error_detail: (!refused.is_empty()).then(detail),
            ..Default::default()
        }
    }
}

/// The name that stands for all.
pub const EVERYTHING: &str = "*";
const INVALID_ARGUMENT: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn known(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        let owned = |(name, version): &(&str, &str)| (name.to_string(), version.to_string());
        pairs.iter().map(owned).collect()
    }

    fn response(kind: Kind) -> DeltaDiscoveryResponse {
        DeltaDiscoveryResponse {
            type_url: kind.url(),
            nonce: "n1".to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn the_first_request_says_who_asks_and_what_is_known() {
        let mut session = Session::new(Node::default());
        let everything = names(&[EVERYTHING]);
        let first = session.want(Kind::Cluster, everything.clone(), || known(&[("a", "1")]));
        let first = first.unwrap();
        assert!(first.node.is_some());
        assert_eq!(first.resource_names_subscribe, [EVERYTHING]);
        assert_eq!(first.initial_resource_versions, known(&[("a", "1")]));
        let next = session.want(Kind::Listener, everything.clone(), || known(&[]));
        assert!(next.unwrap().node.is_none());
        assert_eq!(session.want(Kind::Cluster, everything, || known(&[])), None);
    }

    #[test]
    fn names_are_asked_for_by_difference_and_never_none_at_first() {
        let mut session = Session::new(Node::default());
        let mut want = |wanted: &[&str]| {
            let request = session.want(Kind::Assignment, names(wanted), || known(&[("b", "1")]))?;
            let known = request.initial_resource_versions.len();
            let (more, less) = (
                request.resource_names_subscribe,
                request.resource_names_unsubscribe,
            );
            Some((more.join(" "), less.join(" "), known))
        };
        let asked = |more: &str, less: &str, known| Some((more.into(), less.into(), known));
        assert_eq!(want(&[]), None);
        assert_eq!(want(&["a", "b"]), asked("a b", "", 1));
        assert_eq!(want(&["a", "b"]), None);
        assert_eq!(want(&["b", "c"]), asked("c", "a", 0));
        assert_eq!(want(&[]), asked("", "b c", 0));
    }

    #[test]
    fn an_answer_carries_the_nonce_and_what_was_refused() {
        let mut session = Session::new(Node::default());
        let _ = session.want(Kind::Route, names(&["outbound"]), || known(&[]));
        let (answer, _) = session.receive(response(Kind::Route)).unwrap();
        let ack = answer.give(&[]);
        assert_eq!(
            (ack.response_nonce.as_str(), ack.error_detail),
            ("n1", None)
        );
        let (answer, _) = session.receive(response(Kind::Route)).unwrap();
        let nack = answer.give(&["a: why".to_owned(), "b: why".to_owned()]);
        assert_eq!(nack.error_detail.unwrap().message, "a: why; b: why");
    }

    #[test]
    fn what_was_not_asked_for_is_not_answered() {
        let mut session = Session::new(Node::default());
        let _ = session.want(Kind::Route, names(&["outbound"]), || known(&[]));
        assert!(session.receive(response(Kind::Cluster)).is_err());
    }
}
