//! Where a watch stands in its API server's history, and what to ask next. Pure.
//!
//! List once, then watch from there for ever: whatever ends a watch, it resumes at the last
//! version seen. Only an answer 410 (that history is gone) leads back to a list, which asks
//! for the newest state and is compared with what is known, never applied on nothing.

use std::time::Duration;

/// What to ask next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A page of the newest list; the first one without a token.
    List { after: Option<String> },
    /// What happened since this version.
    Watch { since: String },
}

/// What an answer or event said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A page, the version of its list, and where it goes on.
    Page {
        version: String,
        next: Option<String>,
    },
    /// A list could not be read to its end, or may not be used.
    Torn,
    /// An event or bookmark of this version.
    Event { version: String },
    /// The watch came to its end, or broke.
    Ended,
    /// The history that was asked for is no more (410).
    Gone,
}

/// A place in history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor(Step);

/// How long to wait after failures in a row.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    failures: u32,
    seed: u64,
}

impl Cursor {
    pub(crate) fn start() -> Self {
        Self(Step::List { after: None })
    }

    pub(crate) fn step(&self) -> &Step {
        &self.0
    }

    pub(crate) fn on(&mut self, outcome: Outcome) {
        let list = Step::List { after: None };
        self.0 = match (outcome, &self.0) {
            (
                Outcome::Page {
                    next: Some(after), ..
                },
                Step::List { .. },
            ) => Step::List { after: Some(after) },
            (
                Outcome::Page {
                    version,
                    next: None,
                },
                Step::List { .. },
            ) => Step::Watch { since: version },
            (Outcome::Torn | Outcome::Gone, _) => list,
            (Outcome::Event { version }, Step::Watch { .. }) if !version.is_empty() => {
                Step::Watch { since: version }
            }
            (Outcome::Ended | Outcome::Event { .. } | Outcome::Page { .. }, place) => place.clone(),
        };
    }
}

impl Backoff {
    /// From 200 ms on; `seed` spreads those that fail together.
    pub(crate) fn new(seed: u64) -> Self {
        Self::from(FIRST, seed)
    }

    /// The same, from another first wait on.
    pub(crate) fn from(first: Duration, seed: u64) -> Self {
        Self {
            first,
            failures: 0,
            seed,
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// From the first wait to 30 s, doubling, less up to a half.
    pub(crate) fn failed(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16));
        let full = doubled.min(LAST);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(1.0 - 0.5 * self.fraction())
    }

    /// How long to let a watch run: 240 s to 300 s, so that many do not end together.
    pub(crate) fn watch_for(&mut self) -> Duration {
        LONGEST_WATCH.mul_f64(1.0 - 0.2 * self.fraction())
    }

    /// The next number in [0, 1) (SplitMix64).
    fn fraction(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let top = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or_default();
        f64::from(top) / (f64::from(u32::MAX) + 1.0)
    }
}

const FIRST: Duration = Duration::from_millis(200);
const LAST: Duration = Duration::from_secs(30);
const LONGEST_WATCH: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn page(version: &str, next: Option<&str>) -> Outcome {
        Outcome::Page {
            version: version.into(),
            next: next.map(Into::into),
        }
    }

    fn watch(since: &str) -> Step {
        Step::Watch {
            since: since.into(),
        }
    }

    fn walk(outcomes: impl IntoIterator<Item = Outcome>) -> Step {
        let mut cursor = Cursor::start();
        outcomes.into_iter().for_each(|outcome| cursor.on(outcome));
        cursor.step().clone()
    }

    #[test]
    fn pages_lead_to_a_watch_that_resumes_where_it_was() {
        assert_eq!(
            walk([page("7", Some("t"))]),
            Step::List {
                after: Some("t".into())
            }
        );
        assert_eq!(walk([page("7", Some("t")), page("7", None)]), watch("7"));
        let event = Outcome::Event {
            version: "9".into(),
        };
        assert_eq!(
            walk([page("7", None), event.clone(), Outcome::Ended]),
            watch("9")
        );
        let empty = Outcome::Event {
            version: String::new(),
        };
        assert_eq!(walk([page("7", None), event, empty]), watch("9"));
    }

    #[test]
    fn only_lost_history_leads_back_to_a_whole_list() {
        let list = Step::List { after: None };
        assert_eq!(walk([page("7", None), Outcome::Gone]), list);
        assert_eq!(walk([page("7", Some("t")), Outcome::Gone]), list);
        assert_eq!(walk([page("7", Some("t")), Outcome::Torn]), list);
        assert_eq!(walk([Outcome::Ended]), list);
    }

    #[test]
    fn waits_grow_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::new(1);
        let waits: Vec<_> = (0..40).map(|_| backoff.failed()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2);
        assert!(waits[20..].iter().all(|w| *w <= LAST && *w >= LAST / 2));
        backoff.succeeded();
        assert!(backoff.failed() <= FIRST);
        assert_ne!(Backoff::new(1).failed(), Backoff::new(2).failed());
    }
}
