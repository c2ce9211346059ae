//! From API servers to the picture: what runs, and how it ends.

pub(crate) mod hearing;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cluster::Own,
    config::{Config, Push, Validated},
    error::Error,
    merge::{Merge, Rules, effect::Effect},
    metrics::Metrics,
    model::{ClusterId, Mesh},
    pace::Pace,
    registry::{self, Registry},
    remote::{Remote, Settings, claims::Claims, observation::Observation},
    snapshot::{Known, Origin, Snapshot, keeper::Keeper},
    status::{Board, StatusHandle},
};

/// A running ingest: follows the own cluster and every member, and publishes the picture.
pub struct Ingest {
    mesh: watch::Receiver<Arc<Mesh>>,
    status: StatusHandle,
    tasks: TaskTracker,
}

impl Ingest {
    /// Starts; ends when `cancel` is cancelled. Faults of API servers are states, not errors.
    ///
    /// # Errors
    /// When there is no usable way to the own cluster.
    pub async fn start(config: Validated, cancel: CancellationToken) -> Result<Self, Error> {
        let own = match &config.kubeconfig {
            Some(path) => Own::Kubeconfig(path.clone()),
            None => Own::ServiceAccount,
        };
        let target = own.read()?;
        let (out, inbox) = mpsc::channel(QUEUE);
        let metrics = Arc::new(Metrics::new());
        let settings = Settings {
            own: config.cluster.clone(),
            heartbeat: config.heartbeat,
            system_namespace: config.system_namespace.as_str().into(),
            metrics: Arc::clone(&metrics),
            claims: Claims::default(),
            out,
        };
        let board = Arc::new(Board::default());
        let unknown = Mesh {
            missing: BTreeSet::from([config.cluster.clone()]),
            ..Mesh::default()
        };
        let (sender, mesh) = watch::channel(Arc::new(unknown));
        let (known, keeping) = watch::channel(None);
        let mut picture = Picture::new(&config, &board, &metrics, sender, known);
        let tasks = TaskTracker::new();
        let keeper = Keeper::new(&config, &board, &metrics, keeping);
        let remembered = match &keeper {
            Some(keeper) => keeper.recall().await,
            None => None,
        };
        if let Some(snapshot) = remembered {
            picture.restore(*snapshot);
        }
        tasks.spawn(picture.run(inbox, cancel.clone()));
        if let Some(keeper) = keeper {
            tasks.spawn(keeper.run(cancel.clone()));
        }
        let remote = Remote::start(&config.cluster, target, &settings).await?;
        let watched = Arc::clone(remote.watched());
        board.joined(&config.cluster, None, &watched);
        let registry = Registry::new(config.cluster.clone(), settings, Arc::clone(&board));
        tasks.spawn(registry::run(
            registry,
            watched,
            remote.client(),
            cancel.clone(),
        ));
        tasks.spawn(follow_own(own, remote, cancel));
        tasks.close();
        Ok(Self {
            status: StatusHandle::new(config.cluster.clone(), board, mesh.clone(), metrics),
            mesh,
            tasks,
        })
    }

    /// The picture: the newest publication, and a signal with each.
    #[must_use]
    pub fn mesh(&self) -> watch::Receiver<Arc<Mesh>> {
        self.mesh.clone()
    }

    /// How everything stands.
    #[must_use]
    pub fn status(&self) -> StatusHandle {
        self.status.clone()
    }

    /// Waits until all has ended, after the token was cancelled.
    pub async fn join(self) {
        self.tasks.wait().await;
    }
}

/// Re-reads how the own cluster is reached, then stops following it.
async fn follow_own(own: Own, remote: Remote, cancel: CancellationToken) {
    let mut ticks = interval(REREAD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        let own = own.clone();
        match tokio::task::spawn_blocking(move || own.read()).await {
            Ok(Ok(target)) => remote.retarget(target),
            Ok(Err(error)) => remote.watched().trouble(error.to_string()),
            Err(error) => remote.watched().trouble(error.to_string()),
        }
    }
    remote.stop().await;
}

/// Takes observations in and lets publications out.
struct Picture {
    own: ClusterId,
    started: Instant,
    merge: Merge,
    pace: Pace,
    push: Push,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    sender: watch::Sender<Arc<Mesh>>,
    /// Of what was taken in since the last publication.
    effect: Effect,
    settled: Instant,
    /// When to settle what was taken in.
    unsettled: Option<Instant>,
    /// Whether the numbers are those of this moment.
    tallied: bool,
    /// What to keep over a restart.
    known: watch::Sender<Option<Known>>,
    /// How clusters were known at the last look, once the members were.
    origins: Option<BTreeMap<ClusterId, Origin>>,
}

impl Picture {
    fn new(
        config: &Config,
        board: &Arc<Board>,
        metrics: &Arc<Metrics>,
        sender: watch::Sender<Arc<Mesh>>,
        known: watch::Sender<Option<Known>>,
    ) -> Self {
        Self {
            own: config.cluster.clone(),
            started: Instant::now(),
            merge: Merge::new(Rules::from(config)),
            pace: Pace::new(config.push, Instant::now()),
            push: config.push,
            board: Arc::clone(board),
            metrics: Arc::clone(metrics),
            sender,
            effect: Effect::None,
            settled: Instant::now(),
            unsettled: None,
            tallied: true,
            known,
            origins: None,
        }
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Observation>, cancel: CancellationToken) {
        let mut ticks = interval(TALLY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(QUEUE);
        loop {
            let publish = self.pace.due(self.is_complete());
            let wakes = publish.into_iter().chain(self.unsettled);
            let wake = wakes.chain(self.listens_again()).min();
            tokio::select! {
                () = cancel.cancelled() => return,
                count = inbox.recv_many(&mut batch, QUEUE) => match count {
                    0 => return,
                    _ => self.take(batch.drain(..)),
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                _ = ticks.tick() => self.tally(),
            }
            self.move_on(Instant::now());
        }
    }

    /// Takes in what is remembered. It leaves as soon as nobody can say anything newer.
    fn restore(&mut self, snapshot: Snapshot) {
        self.merge.restore(snapshot);
        self.note(Instant::now(), Effect::Opening);
        self.board.recalled();
        self.tally_anew();
    }

    /// Whether no member is missing, and the first publication needs not wait for anybody who
    /// is only remembered.
    fn is_complete(&self) -> bool {
        self.merge.is_complete() && (self.was_published() || self.heard_all())
    }

    fn was_published(&self) -> bool {
        self.merge.mesh().generation > 0
    }

    fn heard_all(&self) -> bool {
        let origins = self.merge.origins().into_iter().flatten();
        let remembered = origins.filter(|(_, origin)| origin.remembered.is_some());
        let voices = remembered.map(|(id, _)| (id.clone(), self.board.voice(id)));
        hearing::is_over(&self.own, &voices.collect(), self.started.elapsed())
    }

    /// Nobody tells that a cluster turned out to be dead: until the first publication of what
    /// is remembered it is looked at again and again.
    fn listens_again(&self) -> Option<Instant> {
        let waits = !self.was_published() && self.merge.is_complete() && !self.heard_all();
        waits.then(|| Instant::now() + LISTEN)
    }

    fn take(&mut self, batch: impl Iterator<Item = Observation>) {
        let now = Instant::now();
        for observation in batch {
            let effect = self.merge.take(observation);
            self.note(now, effect);
        }
        self.board.dropped(self.merge.take_dropped());
        // In a busy time, what comes within the gap is put together once.
        self.unsettled
            .get_or_insert(now.max(self.settled + self.push.gap));
        self.tallied = false;
    }

    /// Does what is due.
    fn move_on(&mut self, now: Instant) {
        if self.unsettled.is_some_and(|due| due <= now) {
            let effect = self.merge.settle();
            self.note(now, effect);
            self.unsettled = None;
            self.settled = now;
            self.look_back();
        }
        let due = self.pace.due(self.is_complete());
        if due.is_some_and(|due| due <= now) {
            self.publish(now);
        }
    }

    fn publish(&mut self, now: Instant) {
        let mesh = self.merge.publish();
        self.known.send_replace(self.merge.known(&mesh));
        self.sender.send_replace(mesh);
        self.pace.published(now);
        self.metrics.published(std::mem::take(&mut self.effect));
        self.tally();
    }

    /// How clusters are known is kept when it changed, though the picture may not have.
    fn look_back(&mut self) {
        if self.origins.as_ref() != self.merge.origins() {
            self.origins = self.merge.origins().cloned();
            let mesh = Arc::new(self.merge.mesh().clone());
            self.known.send_replace(self.merge.known(&mesh));
            self.tally_anew();
        }
    }

    fn note(&mut self, now: Instant, effect: Effect) {
        self.pace.changed(now, effect);
        self.effect = self.effect.max(effect);
    }

    fn tally_anew(&mut self) {
        self.tallied = false;
        self.tally();
    }

    fn tally(&mut self) {
        if !std::mem::replace(&mut self.tallied, true) {
            self.board.tallied(self.merge.tallies());
        }
    }
}

/// Observations that may wait before watches do.
const QUEUE: usize = 1024;
/// How often files that lead to the own cluster are read again.
const REREAD: Duration = Duration::from_secs(10);
/// How often it is asked whether a cluster is dead, at the start.
const LISTEN: Duration = Duration::from_millis(10);
/// How old the numbers in the status may be.
const TALLY: Duration = Duration::from_secs(1);
