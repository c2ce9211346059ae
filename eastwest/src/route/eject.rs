//! Which endpoints are left out for a while because they could not be reached.
//!
//! What Envoy's outlier detection does for TCP: connects that fail in a row, an ejection that
//! grows with each (`outlier_detection` of a cluster; there is none without it). Nobody is
//! refused for it: an ejected endpoint is used where no other one is left. Only reaching an
//! endpoint counts, never what it answers.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use crate::config::Eject;

/// How reaching one address went lately. Threads share it without a lock: what they say at
/// one moment may count as one.
#[derive(Debug, Default)]
pub struct History {
    /// In a row.
    failures: AtomicU32,
    /// Since it was reached.
    ejections: AtomicU32,
    /// Milliseconds of the gateway's life; 0 for never.
    until: AtomicU64,
}

impl History {
    /// Whether it is left out at this age of the gateway.
    pub fn is_ejected(&self, now: Duration) -> bool {
        self.left(now).is_some()
    }

    /// For how long it still is.
    pub fn left(&self, now: Duration) -> Option<Duration> {
        match self.until.load(Ordering::Relaxed) {
            0 => None,
            until => Duration::from_millis(until)
                .checked_sub(now)
                .filter(|left| !left.is_zero()),
        }
    }

    /// It was reached.
    pub fn reached(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.ejections.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// It was not reached. For how long it is left out, if that begins now.
    pub fn missed(&self, rule: &Eject, now: Duration) -> Option<Duration> {
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let before = self.until.load(Ordering::Relaxed);
        if rule.failures == 0 || failures < rule.failures || self.is_ejected(now) {
            return None;
        }
        let times = self.ejections.load(Ordering::Relaxed).saturating_add(1);
        let time = rule
            .time
            .0
            .saturating_mul(times)
            .min(LONGEST.max(rule.time.0));
        let until = u64::try_from((now + time).as_millis()).unwrap_or(u64::MAX);
        let (this, relaxed) = (&self.until, Ordering::Relaxed);
        // Else another thread was first.
        this.compare_exchange(before, until, relaxed, relaxed)
            .ok()?;
        self.ejections.store(times, relaxed);
        Some(time)
    }
}

/// Envoy's `max_ejection_time`.
const LONGEST: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Span;

    const RULE: Eject = Eject {
        failures: 3,
        time: Span::seconds(5),
    };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn failures_in_a_row_eject_for_longer_each_time() {
        let history = History::default();
        for _ in 0..2 {
            assert_eq!(history.missed(&RULE, seconds(1)), None);
        }
        history.reached();
        for _ in 0..2 {
            assert_eq!(history.missed(&RULE, seconds(1)), None);
        }
        assert!(!history.is_ejected(seconds(1)));
        assert_eq!(history.missed(&RULE, seconds(1)), Some(seconds(5)));
        assert_eq!(history.left(seconds(2)), Some(seconds(4)));
        assert_eq!(history.missed(&RULE, seconds(2)), None, "it is out already");
        assert!(!history.is_ejected(seconds(6)));
        assert_eq!(
            history.missed(&RULE, seconds(6)),
            Some(seconds(10)),
            "at once"
        );
        assert_eq!(history.left(seconds(6)), Some(seconds(10)));
        history.reached();
        assert!(!history.is_ejected(seconds(6)));
        assert_eq!(history.missed(&RULE, seconds(6)), None, "counted anew");
    }

    #[test]
    fn no_ejection_is_longer_than_envoys_or_the_rules_own() {
        for (time, longest) in [(Span::seconds(200), 300), (Span::seconds(400), 400)] {
            let (history, rule) = (History::default(), Eject { failures: 1, time });
            let mut now = Duration::ZERO;
            for _ in 0..3 {
                now += seconds(1000);
                let ejected = history.missed(&rule, now).unwrap();
                assert!(ejected <= seconds(longest), "{ejected:?}");
            }
            assert_eq!(history.left(now), Some(seconds(longest)));
        }
    }

    #[test]
    fn nothing_is_ejected_by_a_rule_of_no_failures() {
        let (history, never) = (
            History::default(),
            Eject {
                failures: 0,
                ..RULE
            },
        );
        assert!((0..100).all(|_| history.missed(&never, seconds(1)).is_none()));
    }
}
