//! What a remote's tasks and its status share: the state, the proof of life, and two signals.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch as signal, time::Instant};

use super::{
    claims::Claims,
    heartbeat,
    life::Life,
    state::{Beat, Phase, State, Uid},
    watch::Failure,
};
use crate::model::ClusterId;

/// What a remote's tasks and its status share.
pub(crate) struct Watched {
    id: ClusterId,
    state: Mutex<State>,
    life: Life,
    claims: Claims,
    /// Grows when a retry is worth more than it was.
    contact: signal::Sender<u64>,
    /// Whether what the API server says may be taken in.
    known: signal::Sender<bool>,
    shown: Mutex<Phase>,
}

impl Watched {
    pub(super) fn new(id: ClusterId, stale_after: Duration, claims: Claims) -> Self {
        Self {
            id,
            state: Mutex::new(State::new(stale_after)),
            life: Life::default(),
            claims,
            contact: signal::Sender::new(0),
            known: signal::Sender::new(false),
            shown: Mutex::new(Phase::Connecting),
        }
    }

    /// A copy of the state of this moment.
    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    /// When the cluster was last known to live.
    pub(crate) fn proof(&self) -> Option<Instant> {
        self.life.last()
    }

    /// Asks whether the cluster behind `client` is still the one that we know.
    pub(crate) async fn verify(
        &self,
        client: &kube::Client,
        limit: Duration,
    ) -> Result<(), Failure> {
        let uid = heartbeat::identity(client, limit).await?;
        self.claim(&uid).map_err(Failure::local)?;
        let identified = self.lock().identify(Instant::now(), uid);
        self.publish_known();
        identified.map_err(Failure::local)
    }

    /// Changes when a retry is worth more than it was.
    pub(crate) fn contact(&self) -> signal::Receiver<u64> {
        self.contact.subscribe()
    }

    pub(super) fn id(&self) -> &ClusterId {
        &self.id
    }

    pub(super) fn life(&self) -> &Life {
        &self.life
    }

    /// Whether what the API server says may be taken in.
    pub(super) fn known(&self) -> signal::Receiver<bool> {
        self.known.subscribe()
    }

    pub(super) fn uid(&self) -> Option<Uid> {
        self.lock().uid().cloned()
    }

    /// Takes in a heartbeat; says whether it made contact, and so made a retry worth more.
    pub(super) fn beat(&self, now: Instant, beat: Beat) -> bool {
        let beat = match beat {
            Beat::Good(uid) => match self.claim(&uid) {
                Ok(()) => Beat::Good(uid),
                Err(reason) => Beat::Refused(reason),
            },
            other => other,
        };
        let made = self.lock().beat(now, beat);
        self.publish_known();
        if made {
            self.renewed();
        }
        self.log_phase(now);
        made
    }

    /// A retry is worth more than it was.
    pub(super) fn renewed(&self) {
        self.contact.send_modify(|count| *count += 1);
    }

    /// Something went wrong with the way to the cluster.
    pub(crate) fn trouble(&self, reason: String) {
        tracing::warn!(cluster = %self.id, reason, "credential not taken");
        self.lock().trouble(Instant::now(), reason);
    }

    /// The target that is wanted is not taken, for this reason; `None`: it is.
    pub(super) fn detour(&self, reason: Option<String>) {
        if let Some(reason) = &reason {
            tracing::warn!(cluster = %self.id, reason, "credential not taken");
        }
        self.lock().detour(Instant::now(), reason);
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
    }

    /// The cluster may be followed under another name.
    pub(super) fn release(&self) {
        self.claims.release(&self.id);
    }

    /// Claims the cluster for this name, unless it is not the one that we know: whose it is
    /// then is not the question.
    fn claim(&self, uid: &Uid) -> Result<(), String> {
        if self.uid().is_some_and(|known| known != *uid) {
            return Ok(());
        }
        self.claims.claim(uid, &self.id).map_err(|owner| {
            format!(
                "this is the cluster {owner}, which is followed already (kube-system UID {uid}); delete one of the two secrets, or point this one to the cluster {}",
                self.id
            )
        })
    }

    fn publish_known(&self) {
        let known = self.lock().is_known_cluster();
        self.known
            .send_if_modified(|current| std::mem::replace(current, known) != known);
    }

    fn log_phase(&self, now: Instant) {
        let (phase, reason) = {
            let state = self.lock();
            let reason = state.last_error().map(|(_, reason)| reason.to_owned());
            (state.phase(now, self.proof()), reason)
        };
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown == phase {
            return;
        }
        *shown = phase;
        match phase {
            Phase::Stale => tracing::warn!(cluster = %self.id, reason, "stale"),
            _ => tracing::info!(cluster = %self.id, state = phase.as_str(), "fresh"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
