//! Keeps every workload's leaf fresh.

use std::{path::PathBuf, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio::{sync::watch, task, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Clock, Validated, Workload,
    renewal::{self, Turn},
    secrets::Secrets,
};
use crate::{certificate::timestamp, error::Error, hierarchy::Ca};

/// A workload and the secrets it has now.
pub(super) struct Holding {
    workload: Arc<Workload>,
    secrets: watch::Sender<Arc<Secrets>>,
}

/// The CA and everybody who holds a leaf of it.
pub(super) struct Keeper {
    authority: Authority,
    lifetime: Duration,
    clock: Clock,
    holdings: Vec<Arc<Holding>>,
    turns: Vec<Turn>,
}

/// The CA as it was read last.
struct Authority {
    directory: PathBuf,
    ca: Arc<Ca>,
    digest: [u8; 32],
    /// Content that could not be used, so that each is complained about once.
    complaint: Option<String>,
}

/// A leaf that was issued, as far as others need it.
struct Issued {
    secrets: Arc<Secrets>,
    not_after: OffsetDateTime,
    /// Whether it also reached the workload's directory, if it has one.
    written: Result<(), Error>,
}

impl Holding {
    pub(super) fn workload(&self) -> &Workload {
        &self.workload
    }

    /// What it has now, and whatever it will have.
    pub(super) fn secrets(&self) -> watch::Receiver<Arc<Secrets>> {
        self.secrets.subscribe()
    }
}

impl Keeper {
    /// Reads the authority and issues the first leaves.
    pub(super) async fn open(config: &Validated, clock: Clock) -> Result<Self, Error> {
        let now = clock();
        let authority = Authority::read(config.authority.clone(), now).await?;
        let mut keeper = Self {
            authority,
            lifetime: config.lifetime,
            clock,
            holdings: Vec::new(),
            turns: Vec::new(),
        };
        for workload in &config.workloads {
            let issued = keeper.issue(workload, now).await?;
            issued.written?;
            keeper.turns.push(turn(now, issued.not_after));
            keeper.holdings.push(Arc::new(Holding {
                workload: Arc::clone(workload),
                secrets: watch::Sender::new(issued.secrets),
            }));
        }
        Ok(keeper)
    }

    pub(super) fn holdings(&self) -> Vec<Arc<Holding>> {
        self.holdings.clone()
    }

    /// Renews what is due until stopped.
    pub(super) async fn keep(mut self, stop: CancellationToken) -> Result<(), Error> {
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = sleep(wait) => {}
            }
            let changed = self.authority.refresh((self.clock)()).await;
            let now = (self.clock)();
            let plan = renewal::plan(now, &self.turns, changed);
            for &i in &plan.renew {
                self.renew(i, now).await;
            }
            wait = if plan.renew.is_empty() {
                plan.wait
            } else {
                Duration::ZERO
            };
        }
    }

    async fn renew(&mut self, i: usize, now: OffsetDateTime) {
        let holding = Arc::clone(&self.holdings[i]);
        let outcome = self.issue(&holding.workload, now).await;
        let outcome = outcome.and_then(|issued| {
            holding.secrets.send_replace(issued.secrets);
            issued.written.map(|()| issued.not_after)
        });
        self.turns[i] = match outcome {
            Ok(not_after) => turn(now, not_after),
            Err(error) => {
                warn!(identity = %holding.workload.identity, %error, "leaf not renewed; trying again");
                self.turns[i].after_failure(now, rand::random())
            }
        };
    }

    async fn issue(&self, workload: &Arc<Workload>, now: OffsetDateTime) -> Result<Issued, Error> {
        let (ca, workload) = (Arc::clone(&self.authority.ca), Arc::clone(workload));
        let lifetime = self.lifetime;
        let issuing = move || issue(&ca, &workload, lifetime, now);
        task::spawn_blocking(issuing).await.map_err(ended)?
    }
}

impl Authority {
    async fn read(directory: PathBuf, now: OffsetDateTime) -> Result<Self, Error> {
        let place = directory.clone();
        let reading = move || {
            let files = Ca::snapshot(&place)?;
            Ok((files.digest(), Arc::new(Ca::of(&files, now)?)))
        };
        let (digest, ca) = task::spawn_blocking(reading).await.map_err(ended)??;
        Ok(Self {
            directory,
            ca,
            digest,
            complaint: None,
        })
    }

    /// Reads the directory again; whether there is a new CA in it. What cannot be used is
    /// logged, and the CA that was there before goes on.
    async fn refresh(&mut self, now: OffsetDateTime) -> bool {
        let (place, known) = (self.directory.clone(), self.digest);
        let reading = move || {
            let files = Ca::snapshot(&place)?;
            let digest = files.digest();
            let change = (digest != known).then(|| (digest, Ca::of(&files, now)));
            Ok::<_, Error>(change)
        };
        let outcome = task::spawn_blocking(reading).await.map_err(ended);
        let (subject, error) = match outcome.and_then(|read| read) {
            Ok(None) => {
                self.complaint = None;
                return false;
            }
            Ok(Some((digest, Ok(ca)))) => {
                info!(
                    directory = %self.directory.display(),
                    ca = ca.certificate().subject(),
                    not_after = timestamp(ca.ends()),
                    "authority replaced"
                );
                (self.ca, self.digest, self.complaint) = (Arc::new(ca), digest, None);
                return true;
            }
            Ok(Some((digest, Err(error)))) => (format!("{digest:?}"), error),
            Err(error) => (error.to_string(), error),
        };
        if self.complaint.as_ref() != Some(&subject) {
            warn!(%error, "authority not read again; keeping the old one");
            self.complaint = Some(subject);
        }
        false
    }
}

fn issue(
    ca: &Ca,
    workload: &Workload,
    lifetime: Duration,
    now: OffsetDateTime,
) -> Result<Issued, Error> {
    let leaf = ca.issue(&workload.identity, lifetime, now)?;
    let credential = leaf.credential(now)?;
    info!(
        identity = %workload.identity,
        serial = credential.leaf().serial(),
        not_after = timestamp(credential.not_after()),
        signer = ca.certificate().subject(),
        "leaf issued"
    );
    let directory = workload.directory.as_deref();
    Ok(Issued {
        secrets: Arc::new(Secrets::new(&leaf)),
        not_after: credential.not_after(),
        written: directory.map_or(Ok(()), |directory| leaf.write(directory, now)),
    })
}

fn turn(now: OffsetDateTime, not_after: OffsetDateTime) -> Turn {
    Turn::after_success(now, not_after, rand::random())
}

fn ended(error: task::JoinError) -> Error {
    Error::Ended {
        place: "issuing".to_owned(),
        why: error.to_string(),
    }
}
