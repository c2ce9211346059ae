//! When a leaf is renewed: decided here, from dates and a random number, done elsewhere.

use std::time::Duration;

use time::OffsetDateTime;

/// When somebody's leaf is to be renewed next, and how often that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    due: OffsetDateTime,
    failures: u32,
}

impl Turn {
    /// After a success: half of the leaf's life, give or take a tenth of it. `jitter` lies
    /// between 0 and 1. The life is counted from the moment of issue, not from the earlier
    /// NotBefore.
    pub(super) fn after_success(
        issued: OffsetDateTime,
        not_after: OffsetDateTime,
        jitter: f64,
    ) -> Self {
        let life = not_after - issued;
        let part = 0.4 + 0.2 * jitter.clamp(0.0, 1.0);
        Self {
            due: issued + (life * part).max(SHORTEST),
            failures: 0,
        }
    }

    /// After a failure: half a second, twice as long after each further one, two and a half
    /// minutes at most, give or take a fifth.
    pub(super) fn after_failure(self, now: OffsetDateTime, jitter: f64) -> Self {
        let longer = FIRST_RETRY.saturating_mul(1 << self.failures.min(16));
        let part = 0.8 + 0.4 * jitter.clamp(0.0, 1.0);
        Self {
            due: now + longer.min(LAST_RETRY).mul_f64(part),
            failures: self.failures.saturating_add(1),
        }
    }
}

/// What is to be done now, and when to look again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whose leaves are to be renewed, as indexes.
    pub(super) renew: Vec<usize>,
    /// Until the next look; [`LOOK`] at most, because clocks are set and machines sleep.
    pub(super) wait: Duration,
}

/// Decides for all workloads. A changed authority renews them all at once.
pub(super) fn plan(now: OffsetDateTime, turns: &[Turn], authority_changed: bool) -> Plan {
    let is_due = |turn: &Turn| authority_changed || turn.due <= now;
    let renew = (0..turns.len()).filter(|&i| is_due(&turns[i])).collect();
    let next = turns.iter().filter(|t| !is_due(t)).map(|t| t.due).min();
    let wait = next.map_or(LOOK, |due| (due - now).unsigned_abs().min(LOOK));
    Plan { renew, wait }
}

/// Between two looks at the clock and at the authority's directory.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// No leaf is renewed sooner, however short its signer has still to live.
const SHORTEST: time::Duration = time::Duration::seconds(2);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(150);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap()
    }

    fn due(seconds: i64) -> Turn {
        Turn {
            due: at(seconds),
            failures: 0,
        }
    }

    #[test]
    fn a_leaf_is_renewed_around_half_of_its_life() {
        let turn = |jitter| Turn::after_success(at(0), at(1000), jitter).due;
        assert_eq!(turn(0.0), at(400));
        assert_eq!(turn(0.5), at(500));
        assert_eq!(turn(1.0), at(600));
        assert_eq!(Turn::after_success(at(0), at(1), 0.5).due, at(2));
    }

    #[test]
    fn failures_are_retried_ever_later() {
        let mut turn = due(0);
        let mut waits = Vec::new();
        for _ in 0..40 {
            turn = turn.after_failure(at(0), 0.5);
            waits.push(turn.due - at(0));
        }
        assert_eq!(waits[0], Duration::from_millis(500));
        assert_eq!(waits[3], Duration::from_secs(4));
        assert_eq!(waits[39], LAST_RETRY);
        assert!(waits.is_sorted());
        assert_eq!(Turn::after_success(at(0), at(9), 0.5).failures, 0);
    }

    #[test]
    fn only_what_is_due_is_renewed_and_the_wait_ends_with_the_next() {
        let turns = [due(-1), due(3), due(0), due(100)];
        let decided = plan(at(0), &turns, false);
        assert_eq!(decided.renew, [0, 2]);
        assert_eq!(decided.wait, Duration::from_secs(3));
        assert_eq!(plan(at(0), &turns[3..], false).wait, LOOK);
        let all = plan(at(0), &turns, true);
        assert_eq!(all.renew, [0, 1, 2, 3]);
        assert_eq!(all.wait, LOOK);
    }
}
