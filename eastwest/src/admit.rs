//! How many connections may be open at once, over all workers and from one source, and
//! how many of them may still owe their ClientHello.
//!
//! At a limit the newest is refused: those that are in stay. The limits per source keep
//! one peer from using up what belongs to all. The table of sources is touched when a
//! connection comes and when it goes, never while it carries bytes.

mod count;
pub mod descriptors;
mod source;

use std::{net::IpAddr, sync::Arc};

use dashmap::DashMap;

use self::{
    count::Count,
    source::{Source, network},
};
use crate::{config::Limits, error::Close};

/// Counts who is in.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    inside: Count,
    waiting: Count,
    sources: DashMap<IpAddr, Arc<Source>>,
}

/// The right to be in; given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    gate: Arc<Gate>,
    source: Arc<Source>,
    waiting: bool,
}

/// What one source has open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// The source: an IPv4 address, or an IPv6 /64.
    pub source: IpAddr,
    /// Its open connections.
    pub connections: u32,
    /// Those of them without a whole ClientHello.
    pub waiting_hellos: u32,
}

impl Gate {
    /// A gate with these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            limits: limits.clone(),
            inside: Count::default(),
            waiting: Count::default(),
            sources: DashMap::new(),
        })
    }

    /// Lets one more in, which owes its ClientHello from now on.
    ///
    /// # Errors
    /// The reason to close with: which limit is reached.
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Admitted, Close> {
        let address = network(peer);
        // The entry stays locked until the source is counted, so that nobody forgets it.
        let entry = self.sources.entry(address);
        let entry = entry.or_insert_with(|| Arc::new(Source::new(address)));
        let source = Arc::clone(&entry);
        let counted = self.count(&source);
        drop(entry);
        if counted.is_err() {
            self.forget_if_empty(&source);
        }
        counted.map(|()| Admitted {
            gate: Arc::clone(self),
            source,
            waiting: true,
        })
    }

    /// How many are in without a whole ClientHello.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.get()
    }

    /// The sources with the most connections, largest first.
    #[must_use]
    pub fn largest(&self, most: usize) -> Vec<Occupancy> {
        let mut all: Vec<_> = self.sources.iter().map(|s| s.occupancy()).collect();
        all.sort_by_key(|s| (std::cmp::Reverse(s.connections), s.source));
        all.truncate(most);
        all
    }

    /// Counts one more everywhere, or nowhere.
    fn count(&self, source: &Source) -> Result<(), Close> {
        let limits = &self.limits;
        let counts = [
            (&self.inside, limits.connections, Close::TooManyConnections),
            (
                &source.connections,
                limits.connections_per_source,
                Close::TooManyConnectionsOfSource,
            ),
            (&self.waiting, limits.waiting_hellos, Close::TooManyHellos),
            (
                &source.waiting,
                limits.waiting_hellos_per_source,
                Close::TooManyHellosOfSource,
            ),
        ];
        for (place, (count, limit, close)) in counts.into_iter().enumerate() {
            if !count.enter(limit) {
                counts[..place].iter().for_each(|(count, ..)| count.leave());
                return Err(close);
            }
        }
        Ok(())
    }

    fn forget_if_empty(&self, source: &Source) {
        if source.connections.get() == 0 {
            self.sources
                .remove_if(&source.address, |_, now| now.connections.get() == 0);
        }
    }
}

impl Admitted {
    /// Its ClientHello is whole.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.gate.waiting.leave();
            self.source.waiting.leave();
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.settle();
        self.gate.inside.leave();
        self.source.connections.leave();
        self.gate.forget_if_empty(&self.source);
    }
}

#[cfg(test)]
mod tests;
