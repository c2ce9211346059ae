//! Judging what was counted.

use std::fmt;

/// How often something came out of a number of independent trials, against how
/// often it should have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// How often it came.
    pub count: u64,
    /// Out of how many.
    pub trials: u64,
    /// The promised share, 0 to 1.
    pub promised: f64,
}

impl Share {
    /// The distance from the promise, in standard deviations of a binomial count.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn sigmas(&self) -> f64 {
        let trials = self.trials as f64;
        let expected = trials * self.promised;
        let deviation = (expected * (1.0 - self.promised)).sqrt();
        let distance = (self.count as f64 - expected).abs();
        // A promise of all or nothing has no spread: any distance breaks it.
        if distance == 0.0 {
            0.0
        } else {
            distance / deviation
        }
    }

    /// Whether chance alone explains the distance: within four sigma, which an
    /// honest balancer leaves once in 16,000 runs.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.trials > 0 && self.sigmas() <= 4.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} (promised {:.0} %, {:.1} sigma off)",
            self.count,
            self.trials,
            self.promised * 100.0,
            self.sigmas()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(count: u64, trials: u64, promised: f64) -> Share {
        Share {
            count,
            trials,
            promised,
        }
    }

    #[test]
    fn half_of_2000_may_be_89_off_and_not_90() {
        // Sigma is the root of 500: 22.36.
        assert!(share(1089, 2000, 0.5).holds());
        assert!(!share(1090, 2000, 0.5).holds());
        assert!(!share(910, 2000, 0.5).holds());
    }

    #[test]
    fn a_promise_of_all_breaks_by_one_miss() {
        assert!(share(2000, 2000, 1.0).holds());
        assert!(!share(1999, 2000, 1.0).holds());
        assert!(!share(1, 2000, 0.0).holds());
    }

    #[test]
    fn nothing_tried_is_nothing_shown() {
        assert!(!share(0, 0, 0.5).holds());
    }
}
