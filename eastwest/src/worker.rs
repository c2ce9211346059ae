//! What the connections of one thread find there, and what all threads share.
//!
//! A connection lives and dies on the thread that accepted it, so what a worker owns
//! needs no lock. What all share ([`Shared`]) is atomics and the immutable table.

use std::{
    cell::RefCell,
    sync::{Arc, mpsc::SyncSender},
    time::Instant,
};

use arc_swap::ArcSwap;

use crate::{
    access_log::Record,
    admit::Gate,
    config::Validated,
    dial::permit::Permit,
    metrics::{Counters, Meter},
    passthrough::{Scratch, names::Names},
    relay::pipe_pool::PipePool,
    route::{Table, balance::Dice},
};

/// What all threads of a gateway share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Validated,
    pub(crate) table: ArcSwap<Table>,
    pub(crate) meter: Meter,
    pub(crate) gate: Arc<Gate>,
    pub(crate) permit: Permit,
    pub(crate) names: Names,
    /// When the gateway began.
    pub(crate) began: Instant,
}

/// What the connections of one thread share.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) hello: RefCell<Scratch>,
    pub(crate) buffer: RefCell<Box<[u8]>>,
    pub(crate) pipes: PipePool,
    pub(crate) dice: RefCell<Dice>,
    /// Present once the drain's limit ran out: the connections cut by it.
    pub(crate) cuts: RefCell<Option<Vec<Record>>>,
    access_log: Option<SyncSender<Record>>,
}

impl Worker {
    pub(crate) fn new(
        index: usize,
        shared: &Arc<Shared>,
        pipes: usize,
        access_log: Option<SyncSender<Record>>,
    ) -> Self {
        Self {
            index,
            counters: shared.meter.worker(index),
            hello: RefCell::new(Scratch::new(shared.config.hello.bytes.0)),
            buffer: RefCell::new(vec![0; BUFFER].into()),
            pipes: PipePool::new(pipes),
            dice: RefCell::new(Dice::new(rand::random())),
            cuts: RefCell::new(None),
            access_log,
            shared: Arc::clone(shared),
        }
    }

    /// Hands a line to the access log; when that is full, the line is lost and counted,
    /// and no connection waits.
    pub(crate) fn log(&self, record: Record) {
        if let Some(log) = &self.access_log
            && log.try_send(record).is_err()
        {
            self.counters.log_lines_lost.add(1);
        }
    }

    /// Keeps what was cut, for the drain's report.
    pub(crate) fn keep_cut(&self, record: &Record) {
        if let Some(cuts) = self.cuts.borrow_mut().as_mut() {
            cuts.push(record.clone());
        }
    }
}

const BUFFER: usize = 16 * 1024;
