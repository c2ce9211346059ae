//! What an operator may ask: how each cluster stands, and why something is not used.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::{sync::watch, time::Instant};

use crate::{
    merge::Tally,
    metrics::Metrics,
    model::{ClusterId, Mesh, Network},
    registry::Refusal,
    remote::Watched,
};

/// A cheap handle to the state of a running ingest.
#[derive(Clone)]
pub struct StatusHandle {
    own: ClusterId,
    board: Arc<Board>,
    mesh: watch::Receiver<Arc<Mesh>>,
    metrics: Arc<Metrics>,
}

/// Where tasks write what is shown.
#[derive(Default)]
pub(crate) struct Board {
    members: Mutex<BTreeMap<ClusterId, Shown>>,
    secrets: Mutex<Secrets>,
    tallies: ArcSwap<BTreeMap<ClusterId, Tally>>,
}

/// A member that is followed.
#[derive(Clone)]
struct Shown {
    secret: Option<Arc<str>>,
    watched: Arc<Watched>,
}

/// How the remote secrets stand.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Secrets {
    /// Whether they were listed once.
    listed: bool,
    last_error: Option<String>,
    refused: Vec<Refusal>,
}

/// What `/debug/clusters` shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) clusters: Vec<ClusterReport>,
    missing: BTreeSet<ClusterId>,
    secrets: Secrets,
}

/// How one cluster stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterReport {
    pub(crate) cluster: ClusterId,
    network: Option<Network>,
    pub(crate) state: &'static str,
    pub(crate) proof_of_life_age_ms: Option<u64>,
    objects: usize,
    pub(crate) endpoints: usize,
    pub(crate) ready_endpoints: usize,
    last_error: Option<String>,
    last_error_age_ms: Option<u64>,
    secret: Option<Arc<str>>,
    uid: Option<Arc<str>>,
    pub(crate) objects_by_kind: BTreeMap<&'static str, usize>,
    watches: BTreeMap<&'static str, String>,
    /// Entries of EndpointSlices that are not used, by reason.
    pub(crate) ignored_endpoints: BTreeMap<&'static str, usize>,
    notes: Vec<String>,
}

impl StatusHandle {
    pub(crate) fn new(
        own: ClusterId,
        board: Arc<Board>,
        mesh: watch::Receiver<Arc<Mesh>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            own,
            board,
            mesh,
            metrics,
        }
    }

    /// Whether the own cluster is in the picture and all members are known. A peer that is
    /// missing does not hold this back: see [`StatusHandle::missing`].
    #[must_use]
    pub fn ready(&self) -> bool {
        self.mesh.borrow().clusters.contains_key(&self.own) && self.board.secrets().listed
    }

    /// Members that nothing is known of yet.
    #[must_use]
    pub fn missing(&self) -> Vec<ClusterId> {
        self.mesh.borrow().missing.iter().cloned().collect()
    }

    /// What `/debug/clusters` shows.
    #[must_use]
    pub fn clusters(&self) -> serde_json::Value {
        serde_json::to_value(self.report()).unwrap_or_default()
    }

    /// The metrics page, in Prometheus' text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let refused = self.board.secrets().refused.len();
        self.metrics
            .render(&self.report(), &self.mesh.borrow(), refused)
    }

    fn report(&self) -> Report {
        let now = Instant::now();
        let mesh = Arc::clone(&self.mesh.borrow());
        let tallies = self.board.tallies.load();
        let mut endpoints = count_endpoints(&mesh);
        let members = self.board.members().clone();
        let clusters = members.into_iter().map(|(id, shown)| {
            let tally = tallies.get(&id).cloned().unwrap_or_default();
            let counted = endpoints.remove(&id).unwrap_or_default();
            let network = mesh.clusters.get(&id).and_then(|c| c.network.clone());
            report(id, &shown, tally, counted, network, now)
        });
        Report {
            clusters: clusters.collect(),
            missing: mesh.missing.clone(),
            secrets: self.board.secrets().clone(),
        }
    }
}

impl Board {
    /// A cluster is followed, on behalf of a secret.
    pub(crate) fn joined(&self, id: &ClusterId, secret: Option<Arc<str>>, watched: &Arc<Watched>) {
        let shown = Shown {
            secret,
            watched: Arc::clone(watched),
        };
        self.members().insert(id.clone(), shown);
    }

    /// A cluster is not followed any more.
    pub(crate) fn left(&self, id: &ClusterId) {
        self.members().remove(id);
    }

    /// The secrets were listed.
    pub(crate) fn roster_known(&self) {
        self.secrets().listed = true;
    }

    /// Why the secrets are not followed.
    pub(crate) fn secrets_failing(&self, reason: Option<String>) {
        self.secrets().last_error = reason;
    }

    /// What is refused now.
    pub(crate) fn refused(&self, refusals: Vec<Refusal>) {
        self.secrets().refused = refusals;
    }

    /// The numbers of this moment.
    pub(crate) fn tallied(&self, tallies: BTreeMap<ClusterId, Tally>) {
        self.tallies.store(Arc::new(tallies));
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<ClusterId, Shown>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Endpoints and ready ones by cluster.
fn count_endpoints(mesh: &Mesh) -> BTreeMap<ClusterId, (usize, usize)> {
    let mut counts: BTreeMap<ClusterId, (usize, usize)> = BTreeMap::new();
    for (id, shard) in mesh.services.values().flat_map(|service| &service.shards) {
        let ready = shard.endpoints.iter().filter(|e| e.ready).count();
        match counts.get_mut(id) {
            Some(count) => *count = (count.0 + shard.endpoints.len(), count.1 + ready),
            None => {
                counts.insert(id.clone(), (shard.endpoints.len(), ready));
            }
        }
    }
    counts
}

fn report(
    id: ClusterId,
    shown: &Shown,
    tally: Tally,
    (endpoints, ready): (usize, usize),
    network: Option<Network>,
    now: Instant,
) -> ClusterReport {
    let state = shown.watched.state();
    let proof = shown.watched.proof();
    let age = |at: Instant| {
        let millis = now.saturating_duration_since(at).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX)
    };
    let watches = state.watches().iter();
    ClusterReport {
        cluster: id,
        network,
        state: state.phase(now, proof).as_str(),
        proof_of_life_age_ms: proof.map(age),
        objects: tally.objects.values().sum(),
        endpoints,
        ready_endpoints: ready,
        last_error: state.last_error().map(|(_, reason)| reason.to_owned()),
        last_error_age_ms: state.last_error().map(|(at, _)| age(at)),
        secret: shown.secret.clone(),
        uid: state.uid().cloned(),
        objects_by_kind: tally
            .objects
            .iter()
            .map(|(kind, n)| (kind.as_str(), *n))
            .collect(),
        watches: watches
            .map(|(kind, watch)| (kind.as_str(), watch.to_string()))
            .collect(),
        ignored_endpoints: tally
            .ignored
            .iter()
            .map(|(reason, n)| (reason.as_str(), *n))
            .collect(),
        notes: tally.notes,
    }
}
