//! Asks a cluster who it is, again and again, on a connection of its own.
//!
//! One small read says three things: the API server (and its store) answers, our credential
//! is good, and it is still the cluster that we knew, by the UID of its `kube-system`
//! namespace. A watch alone would notice a black hole only after minutes.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Resource,
    api::{GetParams, PartialObjectMeta, Request},
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{
    Watched,
    state::{Beat, Uid},
    watch::Failure,
};

/// Beats until dropped.
pub(crate) async fn beat(
    client: kube::Client,
    watched: Arc<Watched>,
    every: Duration,
    limit: Duration,
) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut contact = watched.contact();
    loop {
        contact.mark_unchanged();
        tokio::select! {
            _ = ticks.tick() => {}
            // A new credential is tried at once.
            Ok(()) = contact.changed() => {}
        }
        let answer = identity(&client, limit).await;
        watched.beat(Instant::now(), verdict(answer));
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
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_miss_and_says_what_to_do() {
        let failure = |status| Failure {
            status,
            reason: "x".into(),
        };
        assert_eq!(verdict(Ok("u".into())), Beat::Good("u".into()));
        assert_eq!(verdict(Err(failure(Some(500)))), Beat::Missed("x".into()));
        assert_eq!(verdict(Err(failure(None))), Beat::Missed("x".into()));
        for (status, next) in [(401, "token"), (403, "namespaces")] {
            match verdict(Err(failure(Some(status)))) {
                Beat::Refused(reason) => assert!(reason.contains(next), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
