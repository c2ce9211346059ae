//! A number with a limit.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many there are; never more than the limit that [`Count::enter`] is given.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU32);

impl Count {
    /// Counts one more, if there are fewer than `limit`.
    pub(super) fn enter(&self, limit: u32) -> bool {
        let more = |count: u32| (count < limit).then(|| count + 1);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// Counts one less.
    pub(super) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
