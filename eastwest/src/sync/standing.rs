//! How a source of routes stands: for readiness, metrics and the debug view.
//!
//! "Connected" is said only while it is true, and the age of the routes counts from the
//! last moment that the source was in touch.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;

use super::session::Kind;

/// The state of a source.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Whether the source is in touch now.
    pub connected: bool,
    /// When it was in touch for the last time; none before the first.
    pub in_touch: Option<Instant>,
    /// Whether a complete set of routes was had at least once, be it before a restart.
    pub complete: bool,
    /// Present while some routes are known from before a restart only.
    pub remembered: Option<Remembered>,
    /// Routes that the source has not confirmed since it is in touch again.
    pub held: usize,
    /// Why a table that was found at the start is not used.
    pub set_aside: Option<String>,
    /// When the table was last written to disk.
    pub kept: Option<Instant>,
    /// Why it is not.
    pub unkept: Option<String>,
    /// When the routes changed for the last time.
    pub changed: Option<SystemTime>,
    /// Listeners that could not be opened yet.
    pub missing: BTreeMap<Arc<str>, String>,
    /// Why the source is not in touch, or what it said that was refused.
    pub last_error: Option<String>,
    /// What is not understood, and so has no route, with the reason.
    pub quarantine: BTreeMap<(Kind, String), String>,
    /// Messages, by kind and outcome.
    pub messages: BTreeMap<(Kind, Outcome), u64>,
    /// Connections to the source that were made.
    pub connections: u64,
}

/// How old routes from before a restart are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// When their source was in touch for the last time.
    pub seen: SystemTime,
    /// How long that was before they were read.
    pub age: Duration,
    /// When they were read.
    pub read: Instant,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It changed routes.
    Changed,
    /// It said nothing new.
    Unchanged,
    /// A part of it could not be decoded.
    Refused,
}

/// A [`Standing`] that one thread writes and any may read.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Standing>>);

impl Standing {
    /// The age of the routes: none before the first, zero while in touch. While any is
    /// remembered, it is theirs.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        if let Some(remembered) = &self.remembered {
            let since = now.saturating_duration_since(remembered.read);
            return Some(remembered.age + since);
        }
        let since = self.in_touch?;
        Some(match self.connected {
            true => Duration::ZERO,
            false => now.saturating_duration_since(since),
        })
    }

    /// When the routes were true for the last time, given both clocks; none before the
    /// first.
    #[must_use]
    pub fn seen(&self, wall: SystemTime, now: Instant) -> Option<SystemTime> {
        match &self.remembered {
            Some(remembered) => Some(remembered.seen),
            None => wall.checked_sub(self.age(now)?),
        }
    }

    /// The source is in touch.
    pub fn touched(&mut self, now: Instant) {
        (self.connected, self.in_touch) = (true, Some(now));
    }

    /// The source is lost.
    pub fn lost(&mut self, now: Instant, why: String) {
        if self.connected {
            (self.connected, self.in_touch) = (false, Some(now));
        }
        self.last_error = Some(why);
    }
}

impl Remembered {
    /// Routes whose source was `seen` for the last time, read at `wall` and `read`. A
    /// clock that was set back makes no age.
    #[must_use]
    pub fn new(seen: SystemTime, wall: SystemTime, read: Instant) -> Self {
        let age = wall.duration_since(seen).unwrap_or_default();
        Self { seen, age, read }
    }
}

impl Outcome {
    /// The value of the metric label `result`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

impl Board {
    /// The state now, to read or to change; not for the path of a connection.
    pub fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_age_from_the_moment_the_source_is_lost() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut standing = Standing::default();
        standing.lost(start, "refused".to_owned());
        assert_eq!(standing.age(start), None);
        standing.touched(start);
        assert_eq!(standing.age(start + second), Some(Duration::ZERO));
        standing.lost(start + second, "reset".to_owned());
        standing.lost(start + 3 * second, "refused".to_owned());
        assert_eq!(standing.age(start + 4 * second), Some(3 * second));
    }

    #[test]
    fn remembered_routes_keep_their_age_until_they_are_replaced() {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let second = Duration::from_secs(1);
        let seen = wall - 5 * second;
        let mut standing = Standing {
            remembered: Some(Remembered::new(seen, wall, start)),
            ..Standing::default()
        };
        standing.touched(start + second);
        let (later, now) = (wall + 2 * second, start + 2 * second);
        assert_eq!(standing.age(now), Some(7 * second));
        assert_eq!(standing.seen(later, now), Some(seen));
        standing.remembered = None;
        assert_eq!(standing.age(now), Some(Duration::ZERO));
        assert_eq!(standing.seen(later, now), Some(later));
        standing.lost(now, "reset".to_owned());
        let after = standing.seen(later + second, now + second);
        assert_eq!(after, Some(later));
        let ahead = Remembered::new(wall + second, wall, start);
        assert_eq!(ahead.age, Duration::ZERO);
    }
}
