//! A live credential keeps up with its directory.
//!
//! The directory is read whole every [`PERIOD`] and compared by content: that works for every
//! way to write it (swapped links, renames, network file systems), which notifications do not.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{task, time as clock};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::LiveCredential;
use crate::{certificate::timestamp, error::Error, store::WorkloadCredential};

pub(super) async fn follow(live: &LiveCredential, dir: PathBuf, cancel: CancellationToken) {
    let mut ticks = clock::interval(PERIOD);
    ticks.set_missed_tick_behavior(clock::MissedTickBehavior::Delay);
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let (directory, last) = (dir.clone(), seen.digest);
        let reading = task::spawn_blocking(move || read_if_changed(&directory, last));
        match reading.await {
            Ok(Ok(Some(change))) => take(live, &dir, change, &mut seen),
            Ok(Ok(None)) => seen.complaint = None,
            Ok(Err(error)) => seen.complain(&dir, error.to_string(), &error),
            Err(error) => seen.complain(&dir, error.to_string(), &error),
        }
    }
}

/// Content that was not there before.
struct Change {
    digest: [u8; 32],
    credential: Result<WorkloadCredential, Error>,
}

/// What was looked at last, so that each event is logged once.
#[derive(Default)]
struct Seen {
    digest: Option<[u8; 32]>,
    complaint: Option<String>,
}

impl Seen {
    /// Logs a complaint unless its `subject` is that of the last one.
    fn complain(&mut self, dir: &Path, subject: String, error: &dyn Display) {
        if self.complaint.as_ref() != Some(&subject) {
            warn!(directory = %dir.display(), %error, "credential not read again; keeping the old one");
            self.complaint = Some(subject);
        }
    }
}

fn read_if_changed(dir: &Path, last: Option<[u8; 32]>) -> Result<Option<Change>, Error> {
    let files = WorkloadCredential::snapshot(dir)?;
    let digest = files.digest();
    if last == Some(digest) {
        return Ok(None);
    }
    Ok(Some(Change {
        digest,
        credential: WorkloadCredential::of(&files, OffsetDateTime::now_utc()),
    }))
}

fn take(live: &LiveCredential, dir: &Path, change: Change, seen: &mut Seen) {
    match change.credential {
        Ok(credential) => {
            seen.digest = Some(change.digest);
            seen.complaint = None;
            let before = live.current();
            if before.leaf() == credential.leaf() && before.bundle == credential.bundle {
                return;
            }
            info!(
                directory = %dir.display(),
                identity = %credential.identity(),
                not_after = timestamp(credential.not_after()),
                roots = credential.bundle.roots().len(),
                "credential replaced"
            );
            live.replace(credential);
        }
        // By content: the error's text may contain the time.
        Err(error) => seen.complain(dir, format!("{:?}", change.digest), &error),
    }
}

/// Between two looks at the directory.
const PERIOD: Duration = Duration::from_secs(2);
