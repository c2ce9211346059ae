//! When a publication leaves. Pure.
//!
//! What takes something away leaves at once (after `gap`, so that a burst of removals is
//! gathered), and so does what our gateway must know before others use it. What only adds
//! waits for quiet, and never longer than the limit. The first
//! publication of all waits for missing clusters: whoever still has their endpoints from
//! before a restart must not hear that they are gone.

use tokio::time::Instant;

use crate::{config::Push, merge::effect::Effect};

/// The clock of publications.
#[derive(Debug)]
pub(crate) struct Pace {
    push: Push,
    started: Instant,
    published: Option<Instant>,
    /// First and last addition that waits.
    additions: Option<(Instant, Instant)>,
    /// Something that does not wait.
    urgent: bool,
}

impl Pace {
    pub(crate) fn new(push: Push, now: Instant) -> Self {
        Self {
            push,
            started: now,
            published: None,
            additions: None,
            urgent: false,
        }
    }

    /// Something changed.
    pub(crate) fn changed(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::None => {}
            Effect::Removal | Effect::Opening => self.urgent = true,
            Effect::Addition => {
                let first = self.additions.map_or(now, |(first, _)| first);
                self.additions = Some((first, now));
            }
        }
    }

    /// When to publish; `None` while there is nothing to. `complete`: no cluster is missing.
    pub(crate) fn due(&self, complete: bool) -> Option<Instant> {
        let waits = self.additions.map(|(first, last)| {
            let quiet = last + self.push.quiet;
            quiet.min(first + self.push.limit)
        });
        let wanted = match self.urgent {
            true => Some(self.started),
            false => waits,
        }?;
        Some(match self.published {
            Some(last) => wanted.max(last + self.push.gap),
            None if complete => wanted,
            None => wanted.max(self.started + self.push.first),
        })
    }

    /// It left.
    pub(crate) fn published(&mut self, now: Instant) {
        self.published = Some(now);
        self.additions = None;
        self.urgent = false;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn after_first() -> (Pace, Instant) {
        let start = Instant::now();
        let mut pace = Pace::new(Push::default(), start);
        pace.published(start);
        (pace, start + ms(1000))
    }

    #[test]
    fn additions_wait_for_quiet_but_not_for_ever() {
        let (mut pace, t) = after_first();
        assert_eq!(pace.due(true), None);
        pace.changed(t, Effect::None);
        assert_eq!(pace.due(true), None);
        for step in 0..=30 {
            pace.changed(t + ms(50 * step), Effect::Addition);
            let quiet = t + ms(50 * step + 100);
            assert_eq!(pace.due(true), Some(quiet.min(t + ms(1000))));
        }
        pace.published(t + ms(1000));
        assert_eq!(pace.due(true), None);
    }

    #[test]
    fn a_removal_or_an_opening_takes_everything_along_at_once() {
        let (mut pace, t) = after_first();
        pace.changed(t, Effect::Addition);
        pace.changed(t + ms(10), Effect::Removal);
        assert!(pace.due(true).unwrap() <= t + ms(10));
        pace.published(t + ms(10));
        pace.changed(t + ms(12), Effect::Opening);
        assert_eq!(pace.due(true), Some(t + ms(20)), "a burst is gathered");
    }

    #[test]
    fn the_first_publication_waits_for_the_missing() {
        let start = Instant::now();
        let mut pace = Pace::new(Push::default(), start);
        pace.changed(start + ms(5), Effect::Addition);
        assert_eq!(pace.due(false), Some(start + ms(5000)));
        assert_eq!(pace.due(true), Some(start + ms(105)));
        pace.changed(start + ms(6), Effect::Removal);
        assert_eq!(
            pace.due(false),
            Some(start + ms(5000)),
            "nothing was told yet"
        );
        pace.published(start + ms(5000));
        pace.changed(start + ms(6000), Effect::Addition);
        assert_eq!(pace.due(false), Some(start + ms(6100)));
    }
}
