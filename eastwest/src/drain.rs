//! How a gateway ends: no longer ready, no longer accepting, then a wait for what is
//! open, then the cut, with a report of it.
//!
//! The waiting itself is each acceptor's (`acceptor.rs`); here is what it amounts to.

use std::fmt;

use crate::access_log::Record;

/// What ended how, after a gateway was told to stop.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Connections open when accepting stopped.
    pub open: usize,
    /// Those cut when `drain.limit` ran out; all others ended by themselves.
    pub cut: Vec<Record>,
}

impl Report {
    /// Adds one worker's part.
    pub fn add(&mut self, open: usize, cut: Vec<Record>) {
        self.open += open;
        self.cut.extend(cut);
    }

    /// How many ended by themselves.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.open.saturating_sub(self.cut.len())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, ended, cut) = (self.open, self.ended(), self.cut.len());
        write!(f, "{open} open at the stop, {ended} ended, {cut} cut")
    }
}
