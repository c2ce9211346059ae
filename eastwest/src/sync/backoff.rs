//! How long to wait before the next attempt. Pure.
//!
//! Doubling from 100 ms to 10 s, each wait drawn between half of that and all of it, so
//! that a thousand gateways that lost one control plane do not come back as one.

use std::time::Duration;

use crate::route::balance::Dice;

/// The waits after failures in a row.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    dice: Dice,
}

impl Backoff {
    /// A fresh start; `seed` decides the jitter.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            failures: 0,
            dice: Dice::new(seed),
        }
    }

    /// The wait after one more failure.
    pub fn next(&mut self) -> Duration {
        let doubled = FIRST_MS << self.failures.min(MOST_DOUBLINGS);
        self.failures = self.failures.saturating_add(1);
        let ceiling = doubled.min(LAST_MS);
        let jitter = self.dice.below(ceiling / 2 + 1).unwrap_or(0);
        Duration::from_millis(ceiling - jitter)
    }

    /// The source was reached: the next failure is a first one.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

const FIRST_MS: u64 = 100;
const LAST_MS: u64 = 10_000;
const MOST_DOUBLINGS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<_> = (0..40).map(|_| backoff.next().as_millis()).collect();
        assert!((50..=100).contains(&waits[0]), "{waits:?}");
        assert!((100..=200).contains(&waits[1]), "{waits:?}");
        assert!(waits[10..].iter().all(|w| (5_000..=10_000).contains(w)));
        backoff.reset();
        assert!(backoff.next().as_millis() <= 100);
    }

    #[test]
    fn two_gateways_do_not_come_back_together() {
        assert_ne!(Backoff::new(1).next(), Backoff::new(2).next());
    }
}
