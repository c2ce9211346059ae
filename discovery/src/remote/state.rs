//! What is known about our knowledge of a cluster: connecting, live or stale. Pure.
//!
//! *Live* means: its facts were complete once, there was proof of life within the limit, and
//! nothing that we must hear about is cut off for longer than that. *Stale* is the way back
//! from live; it removes nothing. A cluster that answers under another identity than the one
//! we knew is stale until the one we knew is back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::project::Kind;

/// How fresh our knowledge of a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its facts were never complete.
    Connecting,
    /// What we know is what it says now.
    Live,
    /// What we know is what it said before.
    Stale,
}

/// The `kube-system` namespace's UID: it names a cluster for its whole life.
pub(crate) type Uid = Arc<str>;

/// What a heartbeat brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beat {
    /// The cluster answered, with its UID.
    Good(Uid),
    /// It answered that it does not know us.
    Refused(String),
    /// It gave no answer that says anything.
    Missed(String),
}

/// How the watch of one kind stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Not listed yet.
    Listing,
    /// Listed, and changes arrive.
    Following,
    /// Optional, and not there or not for us to read: done without.
    Absent { reason: String },
    /// Cut off, and tried again.
    Failing { since: Instant, reason: String },
}

/// All of it, for one cluster.
#[derive(Debug, Clone)]
pub(crate) struct State {
    stale_after: Duration,
    uid: Option<Uid>,
    foreign: Option<Uid>,
    refused_since: Option<Instant>,
    missed: bool,
    watches: BTreeMap<Kind, Watch>,
    settled: BTreeSet<Kind>,
    last_error: Option<(Instant, String)>,
    /// Why the way that is wanted is not gone.
    detour: Option<(Instant, String)>,
}

impl Phase {
    pub(crate) const ALL: [Self; 3] = [Self::Connecting, Self::Live, Self::Stale];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Stale => "stale",
        }
    }
}

impl State {
    pub(crate) fn new(stale_after: Duration) -> Self {
        Self {
            stale_after,
            uid: None,
            foreign: None,
            refused_since: None,
            missed: false,
            watches: Kind::ALL.map(|kind| (kind, Watch::Listing)).into(),
            settled: BTreeSet::new(),
            last_error: None,
            detour: None,
        }
    }

    /// Takes in a heartbeat; says whether contact was just made, or made again.
    pub(crate) fn beat(&mut self, now: Instant, beat: Beat) -> bool {
        let was_out = self.missed || self.refused_since.is_some() || self.uid.is_none();
        let was_foreign = self.foreign.is_some();
        match beat {
            Beat::Good(uid) => {
                (self.missed, self.refused_since) = (false, None);
                // Why not is in `last_error`.
                let _known = self.identify(now, uid);
            }
            Beat::Refused(reason) => {
                self.missed = false;
                self.refused_since.get_or_insert(now);
                self.last_error = Some((now, reason));
            }
            Beat::Missed(reason) => {
                self.missed = true;
                self.last_error = Some((now, reason));
            }
        }
        !self.is_out() && (was_out || was_foreign)
    }

    /// Whether it gives no answer that may be used.
    pub(crate) fn is_out(&self) -> bool {
        self.missed || self.refused_since.is_some() || self.foreign.is_some()
    }

    /// Compares with the identity that is known, or learns it.
    ///
    /// # Errors
    /// What an operator should know when it is another one.
    pub(crate) fn identify(&mut self, now: Instant, uid: Uid) -> Result<(), String> {
        let known = self.uid.get_or_insert_with(|| uid.clone()).clone();
        if known == uid {
            self.foreign = None;
            return Ok(());
        }
        let reason = format!(
            "another cluster answers: its kube-system UID is {uid}, ours was {known}; what was known is kept; point the secret back, or delete it and make it again to adopt the new cluster"
        );
        self.last_error = Some((now, reason.clone()));
        self.foreign = Some(uid);
        Err(reason)
    }

    /// The identity that is known.
    pub(crate) fn uid(&self) -> Option<&Uid> {
        self.uid.as_ref()
    }

    /// Whether what the API server says may be taken in.
    pub(crate) fn is_known_cluster(&self) -> bool {
        self.uid.is_some() && self.foreign.is_none()
    }

    /// A kind's list was complete.
    pub(crate) fn listed(&mut self, kind: Kind) {
        self.settled.insert(kind);
        self.watches.insert(kind, Watch::Following);
    }

    /// A kind's watch was taken up again.
    pub(crate) fn following(&mut self, kind: Kind) {
        if self.settled.contains(&kind) {
            self.watches.insert(kind, Watch::Following);
        }
    }

    /// A kind is not there, or not for us. What was listed of it stays.
    pub(crate) fn absent(&mut self, kind: Kind, reason: String) {
        self.settled.insert(kind);
        self.watches.insert(kind, Watch::Absent { reason });
    }

    /// We may not read a kind; says whether it is done without. An API server that starts
    /// refuses what it allows a moment later, so only when that lasts.
    pub(crate) fn denied(&mut self, now: Instant, kind: Kind, reason: String) -> bool {
        let lasts = match self.watches.get(&kind) {
            Some(Watch::Absent { .. }) => true,
            Some(Watch::Failing { since, .. }) => {
                now.saturating_duration_since(*since) >= self.stale_after
            }
            _ => false,
        };
        match lasts {
            true => self.absent(kind, reason),
            false => self.failing(now, kind, reason),
        }
        lasts
    }

    /// A kind is cut off.
    pub(crate) fn failing(&mut self, now: Instant, kind: Kind, reason: String) {
        let since = match self.watches.get(&kind) {
            Some(Watch::Failing { since, .. }) => *since,
            _ => now,
        };
        // Who is refused as a whole, or hears somebody else, was told why and what to do.
        if self.refused_since.is_none() && self.foreign.is_none() {
            self.last_error = Some((now, format!("{}: {reason}", kind.as_str())));
        }
        self.watches.insert(kind, Watch::Failing { since, reason });
    }

    /// Something else went wrong that an operator should see.
    pub(crate) fn trouble(&mut self, now: Instant, reason: String) {
        self.last_error = Some((now, reason));
    }

    /// The way that is wanted is not gone, for this reason; `None`: it is.
    pub(crate) fn detour(&mut self, now: Instant, reason: Option<String>) {
        self.detour = reason.map(|reason| (now, reason));
    }

    /// How fresh what we know is, given the last proof of life.
    pub(crate) fn phase(&self, now: Instant, proof: Option<Instant>) -> Phase {
        if self.settled.len() < Kind::ALL.len() {
            return Phase::Connecting;
        }
        let old = |since: Instant| now.saturating_duration_since(since) >= self.stale_after;
        let cut_off = self.watches.iter().any(|(kind, watch)| match watch {
            Watch::Failing { since, .. } => !kind.is_optional() && old(*since),
            _ => false,
        });
        let refused = self.refused_since.is_some_and(old);
        if cut_off || refused || self.foreign.is_some() || proof.is_none_or(old) {
            Phase::Stale
        } else {
            Phase::Live
        }
    }

    pub(crate) fn watches(&self) -> &BTreeMap<Kind, Watch> {
        &self.watches
    }

    /// The last thing that went wrong, and when: before all else, why the secret of the
    /// moment is not followed, for as long as it is not.
    pub(crate) fn last_error(&self) -> Option<(Instant, &str)> {
        let (at, reason) = self.detour.as_ref().or(self.last_error.as_ref())?;
        Some((*at, reason))
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listing => f.write_str("listing"),
            Self::Following => f.write_str("following"),
            Self::Absent { reason } => write!(f, "absent: {reason}"),
            Self::Failing { reason, .. } => write!(f, "failing: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests;
