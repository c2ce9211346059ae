//! Asks a cluster who it is, again and again, on a connection of its own.
//!
//! One small read says three things: the API server (and its store) answers, our credential
//! is good, and it is still the cluster that we knew, by the UID of its `kube-system`
//! namespace. A watch alone would notice a black hole only after minutes.
//!
//! Who is refused (401, 403) will be refused again: it asks less and less often, until an
//! answer is good or there is something new to ask with. Silence is asked on at the full pace.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Resource,
    api::{GetParams, PartialObjectMeta, Request},
};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    Watched,
    cursor::Backoff,
    state::{Beat, Uid},
    watch::Failure,
};

/// From one beat to the next.
struct Rhythm {
    every: Duration,
    refusals: Backoff,
}

/// Beats until dropped.
pub(crate) async fn beat(
    client: kube::Client,
    watched: Arc<Watched>,
    every: Duration,
    limit: Duration,
) {
    let mut rhythm = Rhythm::new(every, RandomState::new().hash_one(()));
    let mut contact = watched.contact();
    loop {
        let asked_with = *contact.borrow_and_update();
        let begun = Instant::now();
        let beat = verdict(identity(&client, limit).await);
        let next = begun + rhythm.after(&beat);
        let made = watched.beat(Instant::now(), beat);
        // A new credential is tried at once, one that came while the old one was asked with
        // too; the contact that this very beat made is nothing new.
        if *contact.borrow_and_update() != asked_with + u64::from(made) {
            rhythm.anew();
            continue;
        }
        tokio::select! {
            () = sleep_until(next) => {}
            Ok(()) = contact.changed() => rhythm.anew(),
        }
    }
}

impl Rhythm {
    fn new(every: Duration, seed: u64) -> Self {
        Self {
            every,
            refusals: Backoff::from(every, seed),
        }
    }

    /// How long after this beat the next one follows.
    fn after(&mut self, beat: &Beat) -> Duration {
        match beat {
            Beat::Refused(_) => self.refusals.failed().max(self.every),
            Beat::Good(_) => {
                self.anew();
                self.every
            }
            Beat::Missed(_) => self.every,
        }
    }

    /// What was refused before says nothing about the next beat.
    fn anew(&mut self) {
        self.refusals.succeeded();
    }
}

/// The UID of the cluster's `kube-system` namespace.
pub(crate) async fn identity(client: &kube::Client, limit: Duration) -> Result<Uid, Failure> {
    let request = Request::new(Namespace::url_path(&(), None))
        .get_metadata("kube-system", &GetParams::default())
        .map_err(Failure::local)?;
    let answer = client.request::<PartialObjectMeta<Namespace>>(request);
    let namespace = timeout(limit, answer)
        .await
        .map_err(|_| Failure::slow(limit))??;
    let uid = namespace.metadata.uid.filter(|uid| !uid.is_empty());
    uid.map(Uid::from)
        .ok_or_else(|| Failure::local("the namespace kube-system has no UID"))
}

fn verdict(answer: Result<Uid, Failure>) -> Beat {
    match answer {
        Ok(uid) => Beat::Good(uid),
        Err(failure) => match failure.status {
            Some(401) => Beat::Refused(format!(
                "{}; put a valid token into the secret",
                failure.reason
            )),
            Some(403) => Beat::Refused(format!(
                "{}; let the reader account get namespaces",
                failure.reason
            )),
            _ => Beat::Missed(failure.reason),
        },
    }
}

#[cfg(test)]
mod tests;
