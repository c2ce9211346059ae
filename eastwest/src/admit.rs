//! How many connections may be open at once, over all workers.
//!
//! At the limit the newest is refused: those that are in stay.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// Counts who is in.
#[derive(Debug)]
pub struct Gate {
    limit: u32,
    inside: AtomicU32,
}

/// The right to be in; given back when dropped.
#[derive(Debug)]
pub struct Admitted(Arc<Gate>);

impl Gate {
    /// A gate that lets `limit` in.
    #[must_use]
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self {
            limit,
            inside: AtomicU32::new(0),
        })
    }

    /// Lets one more in, if there is room.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Option<Admitted> {
        let before = self.inside.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted(Arc::clone(self));
        (before < self.limit).then_some(admitted)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_refused_until_one_leaves() {
        let gate = Gate::new(2);
        let first = gate.enter().unwrap();
        let _second = gate.enter().unwrap();
        assert!(gate.enter().is_none());
        assert!(gate.enter().is_none());
        drop(first);
        assert!(gate.enter().is_some());
    }
}
