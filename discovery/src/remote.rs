//! One cluster, the own one included: everything that follows it, and how fresh it is.

pub(crate) mod claims;
pub(crate) mod cursor;
pub(crate) mod heartbeat;
pub(crate) mod life;
pub(crate) mod observation;
pub(crate) mod project;
mod pursuit;
pub(crate) mod state;
mod subject;
pub(crate) mod watch;
mod watched;

use std::{
    fmt::Debug,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use kube::Resource;
use serde::de::DeserializeOwned;
use tokio::{
    sync::{mpsc, watch as signal},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::watched::Watched;
use self::{
    claims::Claims,
    observation::{News, Observation},
    project::{Fact, Kind},
    pursuit::Pursuit,
    watch::{Audience, Change, Closed, Failure, Revision, Subject},
};
use crate::{
    cluster::{Connection, Target, Wire},
    config::Heartbeat,
    error::Error,
    metrics::{Metrics, WatchMetrics},
    model::ClusterId,
};

/// How a remote is run.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The own cluster.
    pub(crate) own: ClusterId,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) system_namespace: Arc<str>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) claims: Claims,
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
        let stale_after = settings.heartbeat.stale_after;
        let watched = Arc::new(Watched::new(
            id.clone(),
            stale_after,
            settings.claims.clone(),
        ));
        let wire = Wire {
            connect: settings.heartbeat.timeout,
            keepalive: settings.heartbeat.interval,
            unacknowledged: stale_after,
        };
        let connection = Connection::open(&target, wire, watched.life().clone())?;
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
        remote.spawn_introduction(settings);
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
        self.watched.release();
    }

    fn spawn_heartbeat(&self, settings: &Settings) {
        let Heartbeat {
            interval, timeout, ..
        } = settings.heartbeat;
        let client = self.connection.heartbeats();
        let beating = heartbeat::beat(client, Arc::clone(&self.watched), interval, timeout);
        self.spawn(beating);
    }

    /// Tells who the cluster is, once: for as long as it is followed it is no other.
    fn spawn_introduction(&self, settings: &Settings) {
        let out = settings.out.clone();
        let watched = Arc::clone(&self.watched);
        self.spawn(async move {
            if watched.known().wait_for(|known| *known).await.is_err() {
                return;
            }
            if let Some(uid) = watched.uid() {
                let (cluster, news) = (watched.id().clone(), News::Identified(uid));
                // Nobody listens any more only when everything ends.
                let _ended = out.send(Observation { cluster, news }).await;
            }
        });
    }

    fn spawn_pursuit(&self, settings: &Settings) {
        let pursuit = Pursuit::new(
            self.connection.clone(),
            Arc::clone(&self.watched),
            self.targets.subscribe(),
            settings.heartbeat.timeout,
        );
        let current = self.targets.borrow().clone();
        self.spawn(pursuit.run(current));
    }

    /// Follows one kind for as long as the cluster is the one that we know. After an
    /// interruption by another cluster the list is taken anew.
    fn follow<K>(&self, kind: Kind, settings: &Settings, subject: fn(&Settings) -> Subject<K, Fact>)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let settings = settings.clone();
        let watched = Arc::clone(&self.watched);
        let client = self.connection.watches();
        let seed = RandomState::new().hash_one(kind);
        self.spawn(async move {
            let mut known = watched.known();
            while known.wait_for(|known| *known).await.is_ok() {
                let ear = Ear {
                    kind,
                    metrics: settings.metrics.watch(watched.id(), kind),
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

impl Ear {
    async fn tell(&self, news: News) -> Result<(), Closed> {
        let observation = Observation {
            cluster: self.watched.id().clone(),
            news,
        };
        let sent = self.settings.out.send(observation).await;
        sent.map_err(|_| Closed)
    }
}

impl Audience for Ear {
    type Fact = Fact;

    async fn hear(&mut self, change: Change<Fact>, at: Revision) -> Result<(), Closed> {
        let is_list = matches!(change, Change::Listed(_));
        match is_list {
            true => self.metrics.lists.inc(),
            false => self.metrics.events.inc(),
        }
        self.tell(News::Changed(self.kind, change, at)).await?;
        if is_list {
            self.watched.update(|state| state.listed(self.kind));
        }
        Ok(())
    }

    async fn reached(&mut self, at: Revision) -> Result<(), Closed> {
        self.tell(News::Reached(self.kind, at)).await
    }

    async fn verify(&mut self) -> Result<(), Failure> {
        let limit = self.settings.heartbeat.timeout;
        self.watched.verify(&self.client, limit).await
    }

    fn following(&mut self) {
        self.watched.update(|state| state.following(self.kind));
    }

    async fn failing(&mut self, failure: Failure) -> Result<(), Closed> {
        self.metrics.failures.inc();
        let (kind, reason) = (self.kind, failure.reason);
        tracing::debug!(cluster = %self.watched.id(), kind = kind.as_str(), reason, "watch failed");
        let now = Instant::now();
        let mut is_absent = false;
        self.watched.update(|state| match failure.status {
            Some(404) if kind.is_optional() => {
                state.absent(kind, reason);
                is_absent = true;
            }
            Some(403) if kind.is_optional() => is_absent = state.denied(now, kind, reason),
            _ => state.failing(now, kind, reason),
        });
        match is_absent {
            true => self.tell(News::Absent(kind)).await,
            false => Ok(()),
        }
    }
}
