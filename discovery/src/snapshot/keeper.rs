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
use trust::store::{Found, StateFile};

use super::{Known, Snapshot, Terms};
use crate::{config::Config, metrics::Metrics, model::ClusterId, status::Board};

/// Writes what is known to disk.
pub(crate) struct Keeper {
    file: StateFile,
    terms: Terms,
    every: Duration,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    known: watch::Receiver<Option<Known>>,
}

impl Keeper {
    /// `None` when nothing is to be kept. `known` is `None` while too little is.
    pub(crate) fn new(
        config: &Config,
        board: &Arc<Board>,
        metrics: &Arc<Metrics>,
        known: watch::Receiver<Option<Known>>,
    ) -> Option<Self> {
        let state = config.state.as_ref()?;
        Some(Self {
            file: StateFile::new(&state.directory, "snapshot"),
            terms: Terms::of(config),
            every: state.every,
            board: Arc::clone(board),
            metrics: Arc::clone(metrics),
            known,
        })
    }

    /// What was kept before, if that is of use.
    pub(crate) async fn recall(&self) -> Option<Box<Snapshot>> {
        let (file, terms) = (self.file.clone(), self.terms.clone());
        let loading = move || file.load(|bytes| Snapshot::decode(bytes, &terms));
        match task::spawn_blocking(loading).await {
            Ok(Found::Kept(snapshot)) => {
                tell(&snapshot);
                return Some(Box::new(snapshot));
            }
            Ok(Found::Nothing) => {}
            Ok(Found::Unusable(reason)) => self.board.unusable(reason),
            Err(error) => self.board.unusable(error.to_string()),
        }
        None
    }

    /// Until cancelled; the last that is known is written then, too.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        loop {
            // Without a change too: the ages in it shall be those of the end.
            let changed = timeout(REFRESH, self.known.changed());
            let changed = cancel.run_until_cancelled(changed).await;
            let begun = Instant::now();
            self.write().await;
            if matches!(changed, None | Some(Ok(Err(_)))) {
                return;
            }
            let rest = sleep(rest(self.every, begun.elapsed()));
            if cancel.run_until_cancelled(rest).await.is_none() {
                return self.write().await;
            }
        }
    }

    async fn write(&mut self) {
        let Some(known) = self.known.borrow_and_update().clone() else {
            return;
        };
        let (file, terms) = (self.file.clone(), self.terms.clone());
        let proofs = self.proofs();
        let writing = task::spawn_blocking(move || {
            let now = SystemTime::now();
            let proof = |id: &ClusterId| proofs.get(id).copied().unwrap_or(now);
            let bytes = Snapshot::of(&known, proof, &terms).encode()?;
            file.replace(&bytes)
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
        let path = self.file.path();
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

/// How long to rest after a write that took so long: in a big mesh that changes all the time,
/// writing takes a tenth of the time and no more.
fn rest(every: Duration, took: Duration) -> Duration {
    every.max(SHARE * took).min(every.max(LONGEST_REST))
}

/// Says how old what was kept of each cluster is.
fn tell(snapshot: &Snapshot) {
    let now = SystemTime::now();
    for known in &snapshot.clusters {
        // A clock that was set back makes no age.
        let age = now.duration_since(known.seen()).unwrap_or_default();
        let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
        tracing::info!(cluster = %known.cluster.id, %age, "cluster remembered");
    }
}

const SHARE: u32 = 9;
const LONGEST_REST: Duration = Duration::from_secs(30);
const REFRESH: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mesh;

    #[test]
    fn a_costly_write_is_followed_by_a_longer_rest() {
        let ms = Duration::from_millis;
        assert_eq!(rest(ms(1000), ms(20)), ms(1000));
        assert_eq!(rest(ms(1000), ms(400)), ms(3600));
        assert_eq!(rest(ms(1000), ms(60_000)), ms(30_000));
        assert_eq!(rest(ms(60_000), ms(60_000)), ms(60_000));
    }

    #[tokio::test]
    async fn a_write_that_failed_is_done_again_without_a_change() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("state");
        std::fs::write(&directory, "a file").unwrap();
        let settings = format!(
            "cluster: c1\nstate: {{ directory: {}, every: 20ms }}",
            directory.display()
        );
        let config: Config = serde_yaml_ng::from_str(&settings).unwrap();
        let (board, metrics) = (Arc::default(), Arc::new(Metrics::new()));
        let (known, keeping) = watch::channel(None);
        let keeper = Keeper::new(&config, &board, &metrics, keeping).unwrap();
        let path = keeper.file.path();
        let start = Instant::now();
        let cancel = CancellationToken::new();
        let running = tokio::spawn(keeper.run(cancel.clone()));
        known.send_replace(Some(Known {
            mesh: Arc::new(Mesh::default()),
            origins: BTreeMap::new(),
        }));
        while metrics.writes("failed") == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        std::fs::remove_file(&directory).unwrap();
        while metrics.writes("written") == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        assert!(path.exists());
        assert!(start.elapsed() < REFRESH / 2, "as soon as it may");
        cancel.cancel();
        running.await.unwrap();
    }
}
