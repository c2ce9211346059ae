//! Writes what is known to disk whenever it changed, at a bounded rate.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::watch,
    task,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Known, Snapshot, Terms, file::Store};
use crate::{metrics::Metrics, model::ClusterId, status::Board};

/// Writes what is known to disk.
pub(crate) struct Keeper {
    pub(crate) store: Store,
    pub(crate) terms: Terms,
    pub(crate) every: Duration,
    pub(crate) board: Arc<Board>,
    pub(crate) metrics: Arc<Metrics>,
    /// `None` while too little is known to be kept.
    pub(crate) known: watch::Receiver<Option<Known>>,
}

impl Keeper {
    /// Until cancelled; the last that is known is written then, too.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        loop {
            // Without a change too: the ages in it shall be those of the end.
            let changed = timeout(REFRESH, self.known.changed());
            let changed = cancel.run_until_cancelled(changed).await;
            self.write().await;
            if matches!(changed, None | Some(Ok(Err(_)))) {
                return;
            }
            if cancel
                .run_until_cancelled(sleep(self.every))
                .await
                .is_none()
            {
                return self.write().await;
            }
        }
    }

    async fn write(&mut self) {
        let Some(known) = self.known.borrow_and_update().clone() else {
            return;
        };
        let (store, terms) = (self.store.clone(), self.terms.clone());
        let proofs = self.proofs();
        let writing = task::spawn_blocking(move || {
            let now = SystemTime::now();
            let proof = |id: &ClusterId| proofs.get(id).copied().unwrap_or(now);
            let bytes = Snapshot::of(&known, proof, &terms).encode()?;
            store.replace(&bytes)
        });
        let failure = match writing.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        self.metrics.kept(failure.is_none());
        if failure.is_some() {
            // To be tried again.
            self.known.mark_changed();
        }
        let path = self.store.path();
        let reason = |error| format!("{} cannot be written: {error}", path.display());
        self.board.kept(failure.map(reason));
    }

    fn proofs(&self) -> BTreeMap<ClusterId, SystemTime> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let proofs = self.board.proofs().into_iter();
        let at = |at| wall.checked_sub(now.saturating_duration_since(at));
        proofs
            .map(|(id, proof)| (id, at(proof).unwrap_or(UNIX_EPOCH)))
            .collect()
    }
}

const REFRESH: Duration = Duration::from_secs(60);
