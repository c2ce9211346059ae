//! Which clusters are members: the remote secrets of the own cluster.
//!
//! A secret is adopted as `istioctl create-remote-secret` writes it: label
//! `istio/multiCluster=true`, in the system namespace, a kubeconfig per cluster in its data.
//! What to do is `plan`'s; here it is done. A list that cannot be read changes nothing.

pub(crate) mod plan;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::plan::{Member, Refusal, SecretFact, plan};
use crate::{
    cluster::Target,
    model::ClusterId,
    remote::{
        Remote, Settings, Watched,
        observation::{News, Observation},
        watch::{Audience, Change, Closed, Failure, Revision, Subject, follow},
    },
    status::Board,
};

/// Starts, changes and stops remotes as secrets come and go.
pub(crate) struct Registry {
    own: ClusterId,
    settings: Settings,
    board: Arc<Board>,
    secrets: BTreeMap<Arc<str>, SecretFact>,
    running: BTreeMap<ClusterId, Running>,
}

struct Running {
    secret: Arc<str>,
    remote: Remote,
}

/// Takes changes of secrets to the registry.
struct Ear {
    own: Arc<Watched>,
    client: kube::Client,
    limit: Duration,
    board: Arc<Board>,
    out: mpsc::Sender<Change<SecretFact>>,
}

/// Follows the secrets of `own` and hands them to the registry until cancelled; then stops
/// every remote.
pub(crate) async fn run(
    registry: Registry,
    own: Arc<Watched>,
    client: kube::Client,
    cancel: CancellationToken,
) {
    let (out, inbox) = mpsc::channel(16);
    let ear = Ear {
        client: client.clone(),
        limit: registry.settings.heartbeat.timeout,
        board: Arc::clone(&registry.board),
        out,
        own: Arc::clone(&own),
    };
    let namespace = Arc::clone(&registry.settings.system_namespace);
    let subject = Subject {
        path: Secret::url_path(&(), Some(&namespace)),
        labels: Some("istio/multiCluster=true".to_owned()),
        fields: None,
        group: None,
        metadata: false,
        project: plan::secret,
    };
    let seed = RandomState::new().hash_one(&namespace);
    let following = follow(client, subject, ear, own.contact(), seed);
    let following = cancel.run_until_cancelled(following);
    let (_, ()) = tokio::join!(following, registry.obey(inbox));
}

impl Registry {
    pub(crate) fn new(own: ClusterId, settings: Settings, board: Arc<Board>) -> Self {
        Self {
            own,
            settings,
            board,
            secrets: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }

    /// Until the sender is gone.
    async fn obey(mut self, mut inbox: mpsc::Receiver<Change<SecretFact>>) {
        while let Some(change) = inbox.recv().await {
            let is_list = matches!(change, Change::Listed(_));
            self.store(change);
            self.act().await;
            if is_list {
                self.board.roster_known();
            }
            // The first change is a list: no roster is told before all of it is known.
            let named = self.secrets.values().flat_map(|s| s.clusters.keys());
            let roster = named.cloned().collect();
            self.tell(&self.own, News::Roster(roster)).await;
        }
        for (_, running) in self.running {
            running.remote.stop().await;
        }
    }

    fn store(&mut self, change: Change<SecretFact>) {
        match change {
            Change::Listed(secrets) => {
                let named = secrets.into_iter().map(|(key, fact)| (key.name, fact));
                self.secrets = named.collect();
            }
            Change::Applied(key, fact) => {
                self.secrets.insert(key.name, fact);
            }
            Change::Gone(key) => {
                self.secrets.remove(&key.name);
            }
        }
    }

    async fn act(&mut self) {
        let owners = self
            .running
            .iter()
            .map(|(id, r)| (id.clone(), Arc::clone(&r.secret)));
        let mut plan = plan(&self.own, &self.secrets, &owners.collect());
        let gone: Vec<_> = self
            .running
            .keys()
            .filter(|id| !plan.members.contains_key(*id))
            .cloned()
            .collect();
        for id in gone {
            self.stop(&id).await;
        }
        for (id, member) in plan.members {
            plan.refusals.extend(self.bring(&id, member).await);
        }
        for refusal in &plan.refusals {
            let Refusal {
                secret,
                key,
                field,
                reason,
                remedy,
            } = refusal;
            tracing::warn!(%secret, cluster = %key, field, reason, remedy, "remote secret refused");
        }
        self.board.refused(plan.refusals);
    }

    /// Starts or changes a member.
    async fn bring(&mut self, id: &ClusterId, member: Member) -> Option<Refusal> {
        let Member { secret, target } = member;
        match (self.running.get_mut(id), target) {
            (Some(running), Some(target)) => {
                if running.secret != secret {
                    running.secret = Arc::clone(&secret);
                    self.board
                        .joined(id, Some(secret), running.remote.watched());
                }
                running.remote.retarget(target);
                None
            }
            (None, Some(target)) => self.start(id, secret, target).await,
            (_, None) => None,
        }
    }

    async fn start(&mut self, id: &ClusterId, secret: Arc<str>, target: Target) -> Option<Refusal> {
        let server = target.server.to_string();
        match Remote::start(id, target, &self.settings).await {
            Ok(remote) => {
                tracing::info!(cluster = %id, %secret, server, "cluster joined");
                self.board
                    .joined(id, Some(Arc::clone(&secret)), remote.watched());
                self.running.insert(id.clone(), Running { secret, remote });
                None
            }
            Err(error) => Some(Refusal {
                secret,
                key: id.clone(),
                field: format!("data[{id}]"),
                reason: error.to_string(),
                remedy: "correct the CA or the client certificate in the kubeconfig",
            }),
        }
    }

    async fn stop(&mut self, id: &ClusterId) {
        let Some(Running { secret, remote }) = self.running.remove(id) else {
            return;
        };
        tracing::info!(cluster = %id, %secret, "cluster left: its secret is gone");
        remote.stop().await;
        self.board.left(id);
        self.settings.metrics.forget(id);
        self.tell(id, News::Left).await;
    }

    async fn tell(&self, cluster: &ClusterId, news: News) {
        let observation = Observation {
            cluster: cluster.clone(),
            news,
        };
        // Nobody listens any more only when everything ends.
        let _ended = self.settings.out.send(observation).await;
    }
}

impl Audience for Ear {
    type Fact = SecretFact;

    async fn hear(&mut self, change: Change<SecretFact>, _: Revision) -> Result<(), Closed> {
        self.out.send(change).await.map_err(|_| Closed)
    }

    async fn reached(&mut self, _: Revision) -> Result<(), Closed> {
        Ok(())
    }

    async fn verify(&mut self) -> Result<(), Failure> {
        self.own.verify(&self.client, self.limit).await
    }

    fn following(&mut self) {
        self.board.secrets_failing(None);
    }

    async fn failing(&mut self, failure: Failure) -> Result<(), Closed> {
        let remedy = match failure.status {
            Some(403) => {
                "; let the own service account list and watch secrets in the system namespace"
            }
            _ => "",
        };
        let reason = format!("{}{remedy}", failure.reason);
        self.board.secrets_failing(Some(reason));
        Ok(())
    }
}
