//! Opens and closes listeners while the gateway runs, each on every worker.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use tokio::sync::mpsc::UnboundedSender;

use super::{ListenerSpec, open};
use crate::config::Relay;

/// What a worker is told about its listeners.
#[derive(Debug)]
pub(crate) enum Change {
    /// Accept here, too.
    Open { name: Arc<str>, socket: TcpListener },
    /// Accept there no longer; connections stay.
    Close { name: Arc<str>, address: SocketAddr },
}

/// The listeners of a gateway.
#[derive(Debug)]
pub(crate) struct Keeper {
    workers: Vec<UnboundedSender<Change>>,
    relay: Relay,
    /// Those that come and go, as they are to be.
    wanted: Vec<ListenerSpec>,
    open: BTreeMap<Arc<str>, SocketAddr>,
}

/// Listeners that cannot be had, by name, each with the reason.
pub(crate) type Missing = BTreeMap<Arc<str>, String>;

impl Keeper {
    /// None yet.
    pub(crate) fn new(workers: Vec<UnboundedSender<Change>>, relay: &Relay) -> Self {
        Self {
            workers,
            relay: relay.clone(),
            wanted: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    /// Opens one for good and gives its address, with the port that the kernel chose for 0.
    ///
    /// # Errors
    /// When it cannot be had.
    pub(crate) fn open(&self, spec: &ListenerSpec) -> io::Result<SocketAddr> {
        let sockets = open(spec.address, self.workers.len(), &self.relay)?;
        let mut address = spec.address;
        for (worker, socket) in self.workers.iter().zip(sockets) {
            address = socket.local_addr()?;
            let name = Arc::clone(&spec.name);
            // A worker that has ended accepts nothing.
            let _ = worker.send(Change::Open { name, socket });
        }
        tracing::info!(listener = %spec.name, %address, "open");
        Ok(address)
    }

    /// The listeners that come and go, as they are to be.
    pub(crate) fn wanted(&self) -> &[ListenerSpec] {
        &self.wanted
    }

    /// Makes these the listeners that come and go. One that moves is opened at its new address
    /// before the old one is closed. Says which cannot be had.
    pub(crate) fn keep(&mut self, wanted: Vec<ListenerSpec>) -> Missing {
        self.wanted = wanted;
        let missing = self.try_again();
        let is_gone = |name: &Arc<str>| self.wanted.iter().all(|spec| spec.name != *name);
        let gone: Vec<_> = self.open.extract_if(.., |name, _| is_gone(name)).collect();
        self.tell(gone.iter().map(|(name, address)| (name, *address)));
        missing
    }

    /// Opens those that could not be had before. Says which still cannot.
    pub(crate) fn try_again(&mut self) -> Missing {
        let mut missing = Missing::new();
        for spec in &self.wanted {
            let before = self.open.get(&spec.name).copied();
            if before == Some(spec.address) {
                continue;
            }
            match self.open(spec) {
                Ok(_) => {
                    self.open.insert(Arc::clone(&spec.name), spec.address);
                    self.tell(before.map(|address| (&spec.name, address)));
                }
                Err(error) => {
                    let why = format!("cannot listen on {}: {error}", spec.address);
                    missing.insert(Arc::clone(&spec.name), why);
                }
            }
        }
        missing
    }

    fn tell<'a>(&self, closed: impl IntoIterator<Item = (&'a Arc<str>, SocketAddr)>) {
        for (name, address) in closed {
            tracing::info!(listener = %name, %address, "closed");
            for worker in &self.workers {
                let name = Arc::clone(name);
                let _ = worker.send(Change::Close { name, address });
            }
        }
    }
}

#[cfg(test)]
mod tests;
