//! How a sidecar stands; cheap to clone, good from any thread.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::sync::watch;

use super::{known::Known, picture::Picture, session::Kind};

/// A handle to ask by.
#[derive(Clone, Default)]
pub struct Status(Arc<Shared>);

#[derive(Default)]
struct Shared {
    stand: Mutex<Stand>,
    pictures: OnceLock<watch::Receiver<Arc<Picture>>>,
}

/// How a sidecar stands at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stand {
    /// Whether discovery can be heard.
    pub connected: bool,
    /// How many streams to discovery there have been.
    pub connections: u64,
    /// Whether discovery has answered everything.
    pub complete: bool,
    /// Whether it ever had everything, with all listeners open.
    pub ready: bool,
    /// The listeners that are open.
    pub listeners: BTreeMap<String, SocketAddr>,
    /// Listeners that are not, and why.
    pub problems: Vec<String>,
    /// How many resources were refused, by kind.
    pub refusals: BTreeMap<Kind, u64>,
    /// Those that still are, by kind and name, with the reason.
    pub refused: BTreeMap<(Kind, String), String>,
}

impl Status {
    /// How it stands now.
    #[must_use]
    pub fn stand(&self) -> Stand {
        self.lock().clone()
    }

    /// Envoy's page `/clusters`: every cluster with its endpoints, as lines
    /// `cluster::address::field::value`.
    #[must_use]
    pub fn clusters(&self) -> String {
        let Some(pictures) = self.0.pictures.get() else {
            return String::new();
        };
        let picture = Arc::clone(&pictures.borrow());
        let upstreams = picture.upstreams().iter();
        upstreams
            .map(|(name, upstream)| upstream.describe(name))
            .collect()
    }

    /// Tells where pictures come from.
    pub(super) fn show(&self, pictures: watch::Receiver<Arc<Picture>>) {
        // There is one source in the life of a sidecar.
        let _ = self.0.pictures.set(pictures);
    }

    pub(super) fn connected(&self, connected: bool) {
        let mut stand = self.lock();
        stand.connected = connected;
        stand.connections += u64::from(connected);
    }

    /// An update was taken in, but for what was refused.
    pub(super) fn taken(&self, kind: Kind, refused: &[String], known: &Known) {
        let mut stand = self.lock();
        *stand.refusals.entry(kind).or_default() += refused.len() as u64;
        let still = known.refused().iter();
        stand.refused = still
            .map(|(what, why)| (what.clone(), why.to_string()))
            .collect();
        stand.complete = known.is_complete();
    }

    pub(super) fn listening(&self, listeners: BTreeMap<String, SocketAddr>, problems: Vec<String>) {
        let mut stand = self.lock();
        stand.ready |= stand.complete && problems.is_empty();
        stand.listeners = listeners;
        stand.problems = problems;
    }

    fn lock(&self) -> MutexGuard<'_, Stand> {
        self.0.stand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stand().fmt(f)
    }
}
