//! Who is connected, how far each is, and what was counted: for `/debug/xds` and for
//! metrics. Nothing here decides anything.

mod counters;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    catalog::Catalog,
    delta::{Progress, Session},
    resource::Kind,
    viewer::{Refusal, Viewer},
};
use crate::horizon::{Reason, Role};

pub use counters::{Counters, Dropped, Measure, Series};

/// All viewers, and the counters.
#[derive(Debug)]
pub struct Audience {
    seats: DashMap<u64, Arc<Seat>>,
    next: AtomicU64,
    limit: usize,
    catalog: watch::Receiver<Arc<Catalog>>,
    /// What was counted.
    pub counters: Counters,
}

/// One viewer in the table.
#[derive(Debug)]
pub(super) struct Seat {
    viewer: Arc<Viewer>,
    remote: SocketAddr,
    since: Instant,
    inbound: AtomicUsize,
    progress: ArcSwap<Vec<(Kind, Progress)>>,
}

/// A viewer's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    audience: Arc<Audience>,
    /// Different for each stream.
    pub(super) id: u64,
    seat: Arc<Seat>,
}

impl Audience {
    pub(super) fn new(limit: usize, catalog: watch::Receiver<Arc<Catalog>>) -> Self {
        Self {
            seats: DashMap::new(),
            next: AtomicU64::new(1),
            limit,
            catalog,
            counters: Counters::default(),
        }
    }

    /// Seats a viewer.
    ///
    /// # Errors
    /// When all places are taken.
    pub(super) fn seat(
        self: &Arc<Self>,
        viewer: Arc<Viewer>,
        remote: SocketAddr,
    ) -> Result<Place, Refusal> {
        if self.seats.len() >= self.limit {
            return Err(Refusal::TooManyViewers(self.limit));
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let seat = Arc::new(Seat {
            viewer,
            remote,
            since: Instant::now(),
            inbound: AtomicUsize::new(0),
            progress: ArcSwap::default(),
        });
        self.seats.insert(id, Arc::clone(&seat));
        Ok(Place {
            audience: Arc::clone(self),
            id,
            seat,
        })
    }

    /// The table of viewers: node, identity, and for each kind what was sent and answered.
    #[must_use]
    pub fn debug(&self) -> Value {
        let mut viewers: Vec<_> = (self.seats.iter())
            .map(|entry| (*entry.key(), entry.value().debug()))
            .collect();
        viewers.sort_by_key(|(id, _)| *id);
        let viewers: Vec<_> = viewers.into_iter().map(|(_, viewer)| viewer).collect();
        let generation = self.catalog.borrow().generation();
        json!({ "generation": generation, "viewers": viewers })
    }

    /// All series of the xDS server, as they are now.
    #[must_use]
    pub fn series(&self) -> Vec<Series> {
        let mut series = self.counters.series();
        for role in [Role::Sidecar, Role::Gateway] {
            let seats = self.seats.iter().filter(|seat| seat.viewer.role == role);
            series.push(Series {
                name: "isthmus_discovery_xds_viewers",
                help: "Viewers that are connected, by kind.",
                measure: Measure::Gauge,
                labels: vec![("kind", role.as_str())],
                value: seats.count() as u64,
            });
        }
        let catalog = Arc::clone(&self.catalog.borrow());
        for role in [Role::Sidecar, Role::Gateway] {
            let withheld = catalog.withheld(role);
            series.extend(Reason::ALL.map(|reason| Series {
                name: "isthmus_discovery_withheld_endpoints",
                help: "Endpoints (times service ports) that viewers are not told of, by reason.",
                measure: Measure::Gauge,
                labels: vec![("kind", role.as_str()), ("reason", reason.as_str())],
                value: withheld.of(reason).into(),
            }));
        }
        series
    }
}

impl Place {
    /// Shows how far the viewer is.
    pub(super) fn show(&self, session: &Session, inbound: usize) {
        self.seat.inbound.store(inbound, Ordering::Relaxed);
        self.seat
            .progress
            .store(Arc::new(session.progress().collect()));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.audience.seats.remove(&self.id);
    }
}

impl Seat {
    fn debug(&self) -> Value {
        let progress = self.progress.load();
        let kinds: serde_json::Map<_, _> = (progress.iter())
            .map(|(kind, progress)| (kind.as_str().to_owned(), json!(progress)))
            .collect();
        json!({
            "node": &*self.viewer.node,
            "identity": self.viewer.identity,
            "kind": self.viewer.role.as_str(),
            "namespace": &*self.viewer.namespace,
            "pod": &*self.viewer.pod,
            "remote": self.remote,
            "connectedSeconds": self.since.elapsed().as_secs(),
            "inboundListeners": self.inbound.load(Ordering::Relaxed),
            "types": kinds,
        })
    }
}
