//! What an operator may ask: how each cluster stands, and why something is not used.

pub(crate) mod report;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::{sync::watch, time::Instant};

use self::report::{ClusterReport, MemoryReport, Report, Secrets};
use crate::{
    ingest::hearing::Voice,
    merge::tally::{Dropped, Tally},
    metrics::Metrics,
    model::{ClusterId, Mesh, Network},
    registry::plan::Refusal,
    remote::{Watched, state::Phase},
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
    memory: Mutex<Memory>,
}

/// A member that is followed.
#[derive(Clone)]
struct Shown {
    secret: Option<Arc<str>>,
    watched: Arc<Watched>,
}

/// How what is kept over a restart stands.
#[derive(Debug, Clone, Default)]
struct Memory {
    /// Whether there was any at the start: then the members are known.
    recalled: bool,
    /// When it was last written.
    written: Option<Instant>,
    /// Why it is not.
    failing: Option<String>,
    /// Why what was found at the start is not used.
    unusable: Option<String>,
    dropped: Vec<Dropped>,
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

    /// Whether the own cluster is in the picture and all members are known, be it from before
    /// a restart. A peer that is
    /// missing does not hold this back: see [`StatusHandle::missing`].
    #[must_use]
    pub fn ready(&self) -> bool {
        let roster_known = self.board.secrets().listed || self.board.memory().recalled;
        roster_known && self.mesh.borrow().clusters.contains_key(&self.own)
    }

    /// Members that nothing is known of yet.
    #[must_use]
    pub fn missing(&self) -> Vec<ClusterId> {
        self.mesh.borrow().missing.iter().cloned().collect()
    }

    /// Members of which only is known what was before this process.
    #[must_use]
    pub fn remembered(&self) -> Vec<ClusterId> {
        let tallies = self.board.tallies.load();
        let tallies = tallies.iter();
        tallies
            .filter(|(_, tally)| tally.remembered.is_some())
            .map(|(id, _)| id.clone())
            .collect()
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
        let mut members: BTreeMap<_, _> = tallies.keys().map(|id| (id.clone(), None)).collect();
        let followed = self.board.members().clone().into_iter();
        members.extend(followed.map(|(id, shown)| (id, Some(shown))));
        // Who just joined or left is in one of the two only; remembered ones are shown though
        // nobody follows them yet.
        members.retain(|id, shown| {
            let is_remembered = |tally: &Tally| tally.remembered.is_some();
            shown.is_some() || tallies.get(id).is_some_and(is_remembered)
        });
        let clusters = members.into_iter().map(|(id, shown)| {
            let tally = tallies.get(&id).cloned().unwrap_or_default();
            let counted = endpoints.remove(&id).unwrap_or_default();
            let network = mesh.clusters.get(&id).and_then(|c| c.network.clone());
            report(id, shown.as_ref(), tally, counted, network, now)
        });
        Report {
            clusters: clusters.collect(),
            missing: mesh.missing.clone(),
            secrets: self.board.secrets().clone(),
            snapshot: self.board.memory().report(now),
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

    /// The picture begins with what was kept.
    pub(crate) fn recalled(&self) {
        self.memory().recalled = true;
    }

    /// What was found at the start is of no use.
    pub(crate) fn unusable(&self, reason: String) {
        tracing::warn!(reason, "snapshot not used: starting without it");
        self.memory().unusable = Some(reason);
    }

    /// What is known was written, or why it was not.
    pub(crate) fn kept(&self, failure: Option<String>) {
        let mut memory = self.memory();
        if let Some(reason) = failure.as_ref().filter(|_| memory.failing != failure) {
            tracing::warn!(reason, "snapshot not written");
        }
        if failure.is_none() {
            memory.written = Some(Instant::now());
        }
        memory.failing = failure;
    }

    /// What was remembered of these is not used any more.
    pub(crate) fn dropped(&self, dropped: Vec<Dropped>) {
        for Dropped { cluster, reason } in &dropped {
            tracing::warn!(%cluster, reason, "remembered cluster dropped");
        }
        self.memory().dropped.extend(dropped);
    }

    /// How a cluster that is only remembered stands since the start.
    pub(crate) fn voice(&self, id: &ClusterId) -> Voice {
        let members = self.members();
        let state = members.get(id).map(|shown| shown.watched.state());
        match state {
            Some(state) if state.is_out() => Voice::Out,
            Some(state) if state.uid().is_some() => Voice::Speaking,
            _ => Voice::Silent,
        }
    }

    /// When each cluster that is followed was last known to live.
    pub(crate) fn proofs(&self) -> BTreeMap<ClusterId, Instant> {
        let members = self.members();
        let members = members.iter();
        members
            .filter_map(|(id, shown)| Some((id.clone(), shown.watched.proof()?)))
            .collect()
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

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn report(&self, now: Instant) -> MemoryReport {
        MemoryReport {
            written_age_ms: self.written.map(|at| age(now, at)),
            last_error: self.failing.clone(),
            set_aside: self.unusable.clone(),
            dropped: self.dropped.clone(),
        }
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
    shown: Option<&Shown>,
    tally: Tally,
    (endpoints, ready): (usize, usize),
    network: Option<Network>,
    now: Instant,
) -> ClusterReport {
    let state = shown.map(|shown| shown.watched.state());
    let proof = shown.and_then(|shown| shown.watched.proof());
    let error = state.as_ref().and_then(|state| state.last_error());
    let phase = match &state {
        Some(state) if tally.remembered.is_none() => state.phase(now, proof),
        _ => Phase::Stale,
    };
    // A clock that was set back makes no age.
    let since = |seen| SystemTime::now().duration_since(seen).unwrap_or_default();
    let remembered_age = tally.remembered.map(|seen| millis(since(seen)));
    let watches = state.iter().flat_map(|state| state.watches());
    ClusterReport {
        cluster: id,
        network,
        state: phase.as_str(),
        proof_of_life_age_ms: proof.map(|at| age(now, at)).or(remembered_age),
        remembered: remembered_age.is_some(),
        remembered_age_ms: remembered_age,
        objects: tally.objects.values().sum(),
        endpoints,
        ready_endpoints: ready,
        last_error: error.map(|(_, reason)| reason.to_owned()),
        last_error_age_ms: error.map(|(at, _)| age(now, at)),
        secret: shown.and_then(|shown| shown.secret.clone()),
        uid: state.as_ref().and_then(|state| state.uid().cloned()),
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

fn age(now: Instant, at: Instant) -> u64 {
    millis(now.saturating_duration_since(at))
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
