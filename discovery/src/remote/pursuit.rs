//! Brings a running remote to another target: a new token at once, another server when it is
//! known to be the same cluster.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch as signal, time::sleep};

use super::{Watched, cursor::Backoff, heartbeat, state::Uid};
use crate::cluster::{Change, Connection, Target};

/// Brings a remote to the target of the moment.
pub(super) struct Pursuit {
    connection: Connection,
    watched: Arc<Watched>,
    targets: signal::Receiver<Target>,
    /// How long a cluster may take to say who it is.
    limit: Duration,
}

impl Pursuit {
    pub(super) fn new(
        connection: Connection,
        watched: Arc<Watched>,
        targets: signal::Receiver<Target>,
        limit: Duration,
    ) -> Self {
        Self {
            connection,
            watched,
            targets,
            limit,
        }
    }

    /// Until dropped.
    pub(super) async fn run(mut self, mut current: Target) {
        let mut backoff = Backoff::new(RandomState::new().hash_one(()));
        while self.targets.changed().await.is_ok() {
            loop {
                let wanted = self.targets.borrow_and_update().clone();
                let Err(reason) = self.go(&current, &wanted).await else {
                    self.watched.detour(None);
                    current = wanted;
                    backoff.succeeded();
                    break;
                };
                self.watched.detour(Some(reason));
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
            Change::None => return Ok(()),
            Change::Credential => self.connection.renew(wanted),
            Change::Channel => {
                if let Some(known) = self.watched.uid() {
                    self.check(wanted, &known).await?;
                }
                let switched = self.connection.switch(wanted);
                switched.map_err(|error| error.to_string())?;
            }
        }
        tracing::info!(cluster = %self.watched.id(), server = %wanted.server, "credential replaced");
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
        match heartbeat::identity(&client, self.limit).await {
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
