//! What the demo shows at one moment, as a value: the screen draws it, lines tell it, and
//! programs read it as JSON.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::load::{Answer, Outcome};

/// Everything at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    /// Since all stood, in milliseconds.
    pub at_ms: u64,
    /// What stands beside applications: `envoy` or `builtin`.
    pub sidecars: &'static str,
    /// The clusters, in order.
    pub clusters: Vec<ClusterView>,
    /// What was last done by a key or by the script, and what to watch.
    pub event: Option<String>,
}

/// One cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterView {
    /// Its name.
    pub name: String,
    /// Its network.
    pub network: String,
    /// Its services, by name.
    pub services: Vec<ServiceView>,
    /// Its application pods, by name.
    pub pods: Vec<PodView>,
    /// Its peers, as its discovery sees them.
    pub peers: Vec<PeerView>,
    /// Its gateway.
    pub gateway: GatewayView,
    /// What became of the requests of its client.
    pub calls: CallsView,
}

/// A service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// `name.namespace`.
    pub name: String,
    /// Whether other clusters may reach it.
    pub exported: bool,
}

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its address in its network.
    pub address: String,
    /// Whether it is ready.
    pub ready: bool,
}

/// A peer as a discovery sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerView {
    /// Its name.
    pub cluster: String,
    /// `connecting`, `live` or `stale`.
    pub state: String,
    /// Since its last proof of life, in milliseconds.
    pub proof_of_life_age_ms: Option<u64>,
    /// Ready endpoints that are known of it.
    pub ready_endpoints: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// A gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayView {
    /// Its process, while it runs.
    pub process: Option<u32>,
    /// Whether it is ready.
    pub ready: bool,
    /// Connections that are open.
    pub open: u64,
    /// Connections that it has carried.
    pub carried: u64,
    /// Connections that it refused.
    pub refused: u64,
    /// Bytes, both ways.
    pub bytes: u64,
    /// Routes.
    pub routes: u64,
}

/// What became of the requests of one client.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallsView {
    /// The newest last: a version, or `-` for a lost one.
    pub last: VecDeque<String>,
    /// Requests in all.
    pub sent: u64,
    /// Those without a good answer.
    pub lost: u64,
    /// Why the last of them was lost.
    pub last_loss: Option<String>,
    /// Who called, as the last answer's server saw it: the identity, then the chain.
    pub chain: Vec<String>,
}

impl CallsView {
    /// Takes in what became of one more request.
    pub fn take(&mut self, answer: &Answer) {
        self.sent += 1;
        let mark = match &answer.outcome {
            Outcome::By { version, .. } => version.clone(),
            Outcome::Lost(reason) => {
                self.lost += 1;
                self.last_loss = Some(reason.clone());
                LOST.to_owned()
            }
        };
        self.last.push_back(mark);
        if self.last.len() > WINDOW {
            self.last.pop_front();
        }
    }

    /// How often each answered among the last requests.
    #[must_use]
    pub fn split(&self) -> BTreeMap<&str, usize> {
        let mut split = BTreeMap::new();
        for mark in &self.last {
            *split.entry(mark.as_str()).or_default() += 1;
        }
        split
    }
}

/// The mark of a lost request.
pub const LOST: &str = "-";
/// How many of the last requests are shown.
pub const WINDOW: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_keeps_the_last_and_the_counts_keep_all() {
        let mut calls = CallsView::default();
        for number in 0..150_u64 {
            let outcome = match number % 3 {
                0 => Outcome::Lost("503".to_owned()),
                _ => Outcome::By {
                    version: "v1".to_owned(),
                    pod: "a".to_owned(),
                },
            };
            let (sent, done) = (number, number);
            calls.take(&Answer {
                sent,
                done,
                outcome,
            });
        }
        assert_eq!((calls.sent, calls.lost), (150, 50));
        assert_eq!(calls.last.len(), WINDOW);
        assert_eq!(calls.split(), BTreeMap::from([("-", 33), ("v1", 67)]));
        assert_eq!(calls.last_loss.as_deref(), Some("503"));
    }
}
