//! One stream of delta xDS as a value: what was asked, what was answered, and so what to
//! send next. No sockets and no clocks.
//!
//! A kind has at most one response on its way. What changes meanwhile is remembered by
//! name only, and the newest state is sent when the answer comes: a viewer that stops
//! reading costs a set of names, never a queue of states.
//!
//! What was refused is not sent again before it changes, but for the search: of a refused
//! response with several resources the halves are sent again, until each bad one was refused
//! by itself and everything else was taken.
//!
//! Additions go in the order of [`Kind`]. An assignment waits for the news of its own
//! cluster, unless that is on its way in an older state: Envoy answers for clusters when all
//! are warm, each by an assignment that came after it. Listeners and routes wait for all clusters that are new or changed. A cluster
//! is taken away when nothing that may refer to it waits to be sent.

mod subscription;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use envoy_types::pb::envoy::service::discovery::v3 as discovery;

use self::subscription::Subscription;
use super::{
    offer::Offer,
    resource::{Kind, Resource},
    viewer::Refusal,
};

pub use subscription::Progress;

/// The state of one stream.
#[derive(Debug)]
pub struct Session {
    /// Begins each nonce, so that none of another stream is taken for one of this.
    id: String,
    nonces: u64,
    max_names: usize,
    offer: Offer,
    subscriptions: [Subscription; Kind::ALL.len()],
}

/// A response to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The kind of its resources.
    pub kind: Kind,
    /// New and changed resources.
    pub resources: Vec<Resource>,
    /// Names of resources that are no more.
    pub removed: Vec<Arc<str>>,
    /// What the viewer's answer will name.
    pub nonce: String,
}

/// What a request was, beside subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// No answer to a response.
    Request,
    /// A response was taken.
    Ack(Kind),
    /// A response was refused, with this text.
    Nack(Kind, String),
    /// An answer to a response that is not on its way. Not listened to.
    Stale(Kind),
    /// A kind that is not served here. Not answered.
    Unknown(String),
}

impl Session {
    /// A new stream, that may ask for `max_names` of each kind. `offer` is what its
    /// viewer is told.
    #[must_use]
    pub fn new(id: String, max_names: usize, offer: Offer) -> Self {
        Self {
            id,
            nonces: 0,
            max_names,
            offer,
            subscriptions: Default::default(),
        }
    }

    /// Takes in a request. Its subscriptions count also when its nonce is stale.
    ///
    /// # Errors
    /// When it asks for too much.
    pub fn request(&mut self, request: discovery::DeltaDiscoveryRequest) -> Result<Heard, Refusal> {
        let Some(kind) = Kind::of_url(&request.type_url) else {
            return Ok(Heard::Unknown(request.type_url));
        };
        let nonce = request.response_nonce.as_str();
        let heard = if nonce.is_empty() {
            Heard::Request
        } else if let Some(number) = self.number(nonce) {
            let error = request
                .error_detail
                .as_ref()
                .map(|error| error.message.clone());
            self.subscriptions[kind as usize].answer(kind, number, error)
        } else {
            Heard::Stale(kind)
        };
        let subscription = &mut self.subscriptions[kind as usize];
        subscription.ask(kind, &request, &self.offer, self.max_names)?;
        Ok(heard)
    }

    /// Takes over what the viewer is told from now on.
    pub fn tell(&mut self, offer: &Offer) {
        for kind in Kind::ALL {
            let changed = offer.changed(kind, &self.offer);
            self.subscriptions[kind as usize].owe(changed);
        }
        self.offer = offer.clone();
    }

    /// The next response, if there is one to send now. Once returned it is on its way.
    pub fn respond(&mut self) -> Option<Response> {
        Kind::ALL
            .into_iter()
            .find_map(|kind| self.respond_with(kind))
    }

    /// How far the viewer is, for each kind that it asked for.
    pub fn progress(&self) -> impl Iterator<Item = (Kind, Progress)> {
        let progress = |kind: Kind| {
            let subscription = &self.subscriptions[kind as usize];
            Some((kind, subscription.progress(&self.id)?))
        };
        Kind::ALL.into_iter().filter_map(progress)
    }

    fn respond_with(&mut self, kind: Kind) -> Option<Response> {
        if !self.subscriptions[kind as usize].is_waiting() {
            return None;
        }
        while let Some(part) = self.subscriptions[kind as usize].next_part() {
            let (go, wait): (BTreeSet<_>, _) =
                part.into_iter().partition(|name| self.may_go(kind, name));
            self.subscriptions[kind as usize].due.extend(wait);
            if !go.is_empty() {
                return Some(self.send(kind, go));
            }
        }
        let subscription = &self.subscriptions[kind as usize];
        let due = subscription.due.iter();
        let go: BTreeSet<_> = (due.filter(|name| self.may_go(kind, name)).cloned()).collect();
        let all = go.len() == subscription.due.len();
        let wanted = !go.is_empty() || (subscription.unanswered && all);
        wanted.then(|| self.send(kind, go))
    }

    fn send(&mut self, kind: Kind, names: BTreeSet<Arc<str>>) -> Response {
        let asked = &self.subscriptions[kind as usize].names;
        let (mut resources, mut removed) = (Vec::new(), Vec::new());
        for name in names {
            let absent = || Resource::empty(kind, &name).filter(|_| asked.contains(&name));
            match self.offer.get(kind, &name).cloned().or_else(absent) {
                Some(resource) => resources.push(resource),
                None => removed.push(name),
            }
        }
        self.nonces += 1;
        self.subscriptions[kind as usize].sent(self.nonces, &resources, &removed);
        if kind == Kind::Cluster {
            // Each cluster that comes is warmed by an assignment that comes after it.
            let names = resources.iter().map(Resource::name).cloned();
            self.subscriptions[Kind::Assignment as usize].owe(names);
        }
        Response {
            kind,
            resources,
            removed,
            nonce: format!("{}-{}", self.id, self.nonces),
        }
    }

    /// Whether the news of a name may be sent before everything else that is due.
    fn may_go(&self, kind: Kind, name: &Arc<str>) -> bool {
        let sent = &self.subscriptions[Kind::Cluster as usize];
        let clusters = &sent.due;
        let comes = |name: &Arc<str>| self.offer.get(Kind::Cluster, name).is_some();
        let referrers = [Kind::Listener, Kind::Route];
        match kind {
            Kind::Cluster if comes(name) => true,
            Kind::Cluster => {
                (referrers.iter()).all(|kind| self.subscriptions[*kind as usize].due.is_empty())
            }
            // Envoy takes no more clusters before those are warm that are on their way.
            Kind::Assignment if sent.carries(name) => true,
            Kind::Assignment => !(clusters.contains(name) && comes(name)),
            Kind::Listener | Kind::Route => !clusters.iter().any(comes),
        }
    }

    /// The number in a nonce of this stream.
    fn number(&self, nonce: &str) -> Option<u64> {
        let number = nonce.strip_prefix(self.id.as_str())?.strip_prefix('-')?;
        number.parse().ok()
    }
}

impl From<Response> for discovery::DeltaDiscoveryResponse {
    fn from(response: Response) -> Self {
        let resource = |resource: &Resource| discovery::Resource {
            name: resource.name().to_string(),
            version: resource.version(),
            resource: Some(resource.to_any()),
            ..Default::default()
        };
        Self {
            type_url: response.kind.url().to_owned(),
            resources: response.resources.iter().map(resource).collect(),
            removed_resources: response.removed.iter().map(ToString::to_string).collect(),
            nonce: response.nonce,
            ..Default::default()
        }
    }
}
