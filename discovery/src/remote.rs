//! One cluster, the own one included: everything that follows it, and how fresh it is.

pub(crate) mod cursor;
pub(crate) mod heartbeat;
pub(crate) mod life;
pub(crate) mod project;
pub(crate) mod state;
mod subject;
pub(crate) mod watch;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::serde::de::DeserializeOwned;
use kube::Resource;
use tokio::{
    sync::{mpsc, watch as signal},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    cursor::Backoff,
    life::Life,
    project::{Fact, Kind},
    state::{Beat, Phase, State, Uid},
    watch::{Audience, Change, Closed, Failure, Subject},
};
use crate::{
    cluster::{self, Connection, Target, Wire},
    config::Heartbeat,
    error::Error,
    metrics::{Metrics, WatchMetrics},
    model::ClusterId,
};

/// What somebody observed about a cluster, for the picture.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) cluster: ClusterId,
    pub(crate) news: News,
}

/// What was observed.
#[derive(Debug)]
pub(crate) enum News {
    /// There is such a cluster; nothing is known of it.
    Joined,
    /// Objects changed.
    Changed(Kind, Change<Fact>),
    /// The cluster does without a kind. What was known of it stays.
    Absent(Kind),
    /// The cluster is no member any more.
    Left,
    /// The own cluster told all of its members: each has joined.
    RosterKnown,
}

/// How a remote is run.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) heartbeat: Heartbeat,
    pub(crate) system_namespace: Arc<str>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) out: mpsc::Sender<Observation>,
}

/// A running remote.
pub(crate) struct Remote {
    watched: Arc<Watched>,
    connection: Connection,
    targets: signal::Sender<Target>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// What a remote's tasks and its status share.
pub(crate) struct Watched {
    id: ClusterId,
    state: Mutex<State>,
    life: Life,
    /// Grows when a retry is worth more than it was.
    contact: signal::Sender<u64>,
    /// Whether what the API server says may be taken in.
    known: signal::Sender<bool>,
    shown: Mutex<Phase>,
}

/// Takes one kind's changes to the picture.
struct Ear {
    kind: Kind,
    client: kube::Client,
    watched: Arc<Watched>,
    settings: Settings,
    metrics: WatchMetrics,
}

impl Remote {
    /// Starts to follow the cluster at `target`. Nothing is published before its lists are
    /// complete.
    pub(crate) async fn start(
        id: &ClusterId,
        target: Target,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let watched = Arc::new(Watched::new(id.clone(), settings));
        let wire = Wire {
            connect: settings.heartbeat.timeout,
            keepalive: settings.heartbeat.interval,
            unacknowledged: settings.heartbeat.stale_after,
        };
        let connection = Connection::open(&target, wire, watched.life.clone())?;
        let remote = Self {
            watched,
            connection,
            targets: signal::Sender::new(target),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let joined = Observation {
            cluster: id.clone(),
            news: News::Joined,
        };
        // Before any of its facts. Nobody listens any more only when everything ends.
        let _ended = settings.out.send(joined).await;
        remote.spawn_heartbeat(settings);
        remote.spawn_pursuit(settings);
        subject::spawn_all(&remote, settings);
        Ok(remote)
    }

    /// Goes over to another target; a new token at once, another server when it is known to
    /// be the same cluster.
    pub(crate) fn retarget(&self, target: Target) {
        self.targets.send_if_modified(|current| {
            let differs = *current != target;
            *current = target;
            differs
        });
    }

    pub(crate) fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }

    /// The client of its lists and watches.
    pub(crate) fn client(&self) -> kube::Client {
        self.connection.watches()
    }

    /// Ends all of its tasks. Nothing is observed afterwards.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn spawn_heartbeat(&self, settings: &Settings) {
        let Heartbeat {
            interval, timeout, ..
        } = settings.heartbeat;
        let client = self.connection.heartbeats();
        let beating = heartbeat::beat(client, Arc::clone(&self.watched), interval, timeout);
        self.spawn(beating);
    }

    fn spawn_pursuit(&self, settings: &Settings) {
        let pursuit = Pursuit {
            connection: self.connection.clone(),
            watched: Arc::clone(&self.watched),
            targets: self.targets.subscribe(),
            heartbeat: settings.heartbeat,
        };
        let current = self.targets.borrow().clone();
        self.spawn(pursuit.run(current));
    }

    /// Follows one kind for as long as the cluster is the one that we know. After an
    /// interruption by another cluster the list is taken anew.
    fn follow<K>(&self, kind: Kind, settings: &Settings, subject: fn(&Settings) -> Subject<K, Fact>)
    where
        K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    {
        let settings = settings.clone();
        let watched = Arc::clone(&self.watched);
        let client = self.connection.watches();
        let seed = RandomState::new().hash_one(kind);
        self.spawn(async move {
            let mut known = watched.known.subscribe();
            while known.wait_for(|known| *known).await.is_ok() {
                let ear = Ear {
                    kind,
                    metrics: settings.metrics.watch(&watched.id, kind),
                    client: client.clone(),
                    watched: Arc::clone(&watched),
                    settings: settings.clone(),
                };
                let subject = subject(&settings);
                let contact = watched.contact();
                tokio::select! {
                    Err(Closed) = watch::follow(client.clone(), subject, ear, contact, seed) => return,
                    _ = known.wait_for(|known| !*known) => {}
                }
            }
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            cancel.run_until_cancelled(task).await;
        });
    }
}

/// Brings a remote to the target of the moment.
struct Pursuit {
    connection: Connection,
    watched: Arc<Watched>,
    targets: signal::Receiver<Target>,
    heartbeat: Heartbeat,
}

impl Pursuit {
    async fn run(mut self, mut current: Target) {
        let mut backoff = Backoff::new(RandomState::new().hash_one(()));
        while self.targets.changed().await.is_ok() {
            loop {
                let wanted = self.targets.borrow_and_update().clone();
                let Err(reason) = self.go(&current, &wanted).await else {
                    current = wanted;
                    backoff.succeeded();
                    break;
                };
                self.watched.trouble(reason);
                let wait = sleep(backoff.failed());
                tokio::select! {
                    () = wait => {}
                    _ = self.targets.changed() => backoff.succeeded(),
                }
            }
        }
    }

    async fn go(&self, current: &Target, wanted: &Target) -> Result<(), String> {
        match current.change_to(wanted) {
            cluster::Change::None => return Ok(()),
            cluster::Change::Credential => self.connection.renew(wanted),
            cluster::Change::Channel => {
                if let Some(known) = self.watched.uid() {
                    self.check(wanted, &known).await?;
                }
                let switched = self.connection.switch(wanted);
                switched.map_err(|error| error.to_string())?;
            }
        }
        tracing::info!(cluster = %self.watched.id, server = %wanted.server, "credential replaced");
        self.watched.renewed();
        Ok(())
    }

    /// Whether `wanted` leads to the cluster that is known.
    async fn check(&self, wanted: &Target, known: &Uid) -> Result<(), String> {
        let server = &wanted.server;
        let client = self
            .connection
            .probe(wanted)
            .map_err(|error| error.to_string())?;
        match heartbeat::identity(&client, self.heartbeat.timeout).await {
            Ok(uid) if uid == *known => Ok(()),
            Ok(uid) => Err(format!(
                "the secret now points to {server}, which is another cluster (kube-system UID {uid}, ours was {known}); what was known is kept; point it back, or delete the secret and make it again to adopt the new cluster"
            )),
            Err(failure) => Err(format!(
                "the secret now points to {server}, which cannot be asked who it is: {}; the old address stays in use",
                failure.reason
            )),
        }
    }
}

impl Watched {
    fn new(id: ClusterId, settings: &Settings) -> Self {
        Self {
            id,
            state: Mutex::new(State::new(settings.heartbeat.stale_after)),
            life: Life::default(),
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
        let is_known = self.lock().identify(Instant::now(), uid);
        self.publish_known();
        match is_known {
            true => Ok(()),
            false => Err(Failure::local("the list comes from another cluster")),
        }
    }

    pub(crate) fn contact(&self) -> signal::Receiver<u64> {
        self.contact.subscribe()
    }

    fn uid(&self) -> Option<Uid> {
        self.lock().uid().cloned()
    }

    fn beat(&self, now: Instant, beat: Beat) {
        let made = self.lock().beat(now, beat);
        self.publish_known();
        if made {
            self.renewed();
        }
        self.log_phase(now);
    }

    /// A retry is worth more than it was.
    fn renewed(&self) {
        self.contact.send_modify(|count| *count += 1);
    }

    /// Something went wrong with the way to the cluster.
    pub(crate) fn trouble(&self, reason: String) {
        tracing::warn!(cluster = %self.id, reason, "credential not taken");
        self.lock().trouble(Instant::now(), reason);
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

impl Ear {
    async fn tell(&self, news: News) -> Result<(), Closed> {
        let observation = Observation {
            cluster: self.watched.id.clone(),
            news,
        };
        let sent = self.settings.out.send(observation).await;
        sent.map_err(|_| Closed)
    }
}

impl Audience for Ear {
    type Fact = Fact;

    async fn hear(&mut self, change: Change<Fact>) -> Result<(), Closed> {
        let is_list = matches!(change, Change::Listed(_));
        match is_list {
            true => self.metrics.lists.inc(),
            false => self.metrics.events.inc(),
        }
        self.tell(News::Changed(self.kind, change)).await?;
        if is_list {
            self.watched.lock().listed(self.kind);
        }
        Ok(())
    }

    async fn may_replace(&mut self) -> Result<(), Failure> {
        self.watched
            .verify(&self.client, self.settings.heartbeat.timeout)
            .await
    }

    fn following(&mut self) {
        self.watched.lock().following(self.kind);
    }

    async fn failing(&mut self, failure: Failure) -> Result<(), Closed> {
        self.metrics.failures.inc();
        if self.kind.is_optional() && matches!(failure.status, Some(403 | 404)) {
            self.watched.lock().absent(self.kind, failure.reason);
            return self.tell(News::Absent(self.kind)).await;
        }
        tracing::debug!(cluster = %self.watched.id, kind = self.kind.as_str(), reason = failure.reason, "watch failed");
        self.watched
            .lock()
            .failing(Instant::now(), self.kind, failure.reason);
        Ok(())
    }
}
