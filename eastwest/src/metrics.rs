//! What the gateway counts.
//!
//! Every worker writes counters of its own, so that no two threads write one cache
//! line; a scrape sums them. Labels are resolved when a route enters the table
//! ([`Meter::series`]): a connection only adds numbers. [`page`] renders.

pub mod page;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use dashmap::DashMap;

use crate::{
    config::Validated,
    error::Close,
    route::spec::{Service, Workload},
};

/// All counters of a gateway.
#[derive(Debug)]
pub struct Meter {
    own: Own,
    workers: Box<[Arc<Counters>]>,
    /// Kept for ever: a counter must not fall, and workloads are few.
    series: DashMap<Key, Arc<Series>>,
}

/// One number that only one thread adds to and any thread may read.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

/// The counters of one worker.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// Connections taken from the listener.
    pub accepted: Tally,
    /// Connections ended, by [`Close::index`].
    pub closed: [Tally; Close::ALL.len()],
    /// Attempts to reach an endpoint, by [`Attempt`].
    pub dials: [Tally; Attempt::ALL.len()],
    /// Endpoints left out for a while.
    pub ejections: Tally,
    /// Bytes carried by `splice`.
    pub spliced: Tally,
    /// Bytes carried through user memory.
    pub copied: Tally,
    /// Times that no pipe was left for a long transfer.
    pub pipes_missing: Tally,
    /// Pauses of the accept loop for want of descriptors.
    pub accept_pauses: Tally,
    /// Lines of the access log thrown away because the reader was too slow.
    pub log_lines_lost: Tally,
}

/// How one attempt to reach an endpoint went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Connected.
    Connected,
    /// No answer in time.
    TimedOut,
    /// Refused, or no way to it.
    Refused,
    /// An address that must not be dialled.
    Forbidden,
    /// No descriptor for a socket.
    Exhausted,
}

/// Istio's four TCP counters with one set of labels.
#[derive(Debug)]
pub struct Series {
    key: Key,
    cells: Box<[Cell]>,
}

/// One worker's part of a [`Series`].
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Cell {
    /// Connections begun.
    pub opened: Tally,
    /// Connections ended.
    pub closed: Tally,
    /// Bytes from the endpoint to the client.
    pub sent: Tally,
    /// Bytes from the client to the endpoint.
    pub received: Tally,
}

/// What the labels of a [`Series`] follow from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    service: Service,
    workload: Workload,
    flag: &'static str,
}

/// The gateway's own part of the labels.
#[derive(Debug)]
struct Own {
    workload: String,
    namespace: String,
    canonical_name: String,
    canonical_revision: String,
    cluster: String,
}

impl Meter {
    /// Counters for as many workers.
    #[must_use]
    pub fn new(config: &Validated, workers: usize) -> Self {
        let node = &config.node;
        let name = node.canonical_name.as_ref().unwrap_or(&node.workload);
        let revision = node.canonical_revision.as_deref().unwrap_or("latest");
        Self {
            own: Own {
                workload: node.workload.clone(),
                namespace: node.namespace.clone(),
                canonical_name: name.clone(),
                canonical_revision: revision.to_owned(),
                cluster: config.cluster.clone(),
            },
            workers: (0..workers).map(|_| Arc::default()).collect(),
            series: DashMap::new(),
        }
    }

    /// The counters of one worker.
    #[must_use]
    pub fn worker(&self, index: usize) -> Arc<Counters> {
        Arc::clone(&self.workers[index])
    }

    /// The series for connections to a workload of a service (none known: no endpoint
    /// was reached) that end with Envoy's response flag. The same arguments give the
    /// same series.
    #[must_use]
    pub fn series(
        &self,
        service: &Service,
        workload: Option<&Workload>,
        flag: &'static str,
    ) -> Arc<Series> {
        let key = Key {
            service: service.clone(),
            workload: workload.cloned().unwrap_or_default(),
            flag,
        };
        let new = |key: &Key| {
            Arc::new(Series {
                key: key.clone(),
                cells: self.workers.iter().map(|_| Cell::default()).collect(),
            })
        };
        let found = self.series.get(&key).map(|series| Arc::clone(&series));
        found.unwrap_or_else(|| {
            let fresh = new(&key);
            Arc::clone(&self.series.entry(key).or_insert(fresh))
        })
    }

    /// A number summed over all workers.
    pub fn sum(&self, read: impl Fn(&Counters) -> &Tally) -> u64 {
        self.workers.iter().map(|w| read(w).get()).sum()
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        let closed: u64 = (0..Close::ALL.len())
            .map(|i| self.sum(|c| &c.closed[i]))
            .sum();
        self.sum(|c| &c.accepted).saturating_sub(closed)
    }

    /// Connections that ended for this reason.
    #[must_use]
    pub fn closed(&self, close: Close) -> u64 {
        self.sum(|c| &c.closed[close.index()])
    }
}

impl Tally {
    /// Adds to the number. Only the thread that owns it does so.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Reads the number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Attempt {
    /// Every way an attempt can go, in the order of the enum.
    pub const ALL: [Self; 5] = [
        Self::Connected,
        Self::TimedOut,
        Self::Refused,
        Self::Forbidden,
        Self::Exhausted,
    ];

    /// The value of the metric label `result`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
            Self::Forbidden => "forbidden",
            Self::Exhausted => "exhausted",
        }
    }
}

impl Series {
    /// One worker's part.
    #[must_use]
    pub fn cell(&self, worker: usize) -> &Cell {
        &self.cells[worker]
    }

    fn sum(&self, read: impl Fn(&Cell) -> &Tally) -> u64 {
        self.cells.iter().map(|cell| read(cell).get()).sum()
    }
}

#[cfg(test)]
mod tests;
