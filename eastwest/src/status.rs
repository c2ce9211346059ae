//! What the process around a gateway serves about it: readiness, metrics, debug views.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    admit::Occupancy,
    metrics::page,
    route::{EndpointSpec, Route},
    sync::standing::{Board, Standing},
    worker::Shared,
};

/// A view of a gateway; cheap to clone, good from any thread.
#[derive(Debug, Clone)]
pub struct Status {
    shared: Arc<Shared>,
    board: Board,
    stop: CancellationToken,
}

impl Status {
    pub(crate) fn new(shared: &Arc<Shared>, board: &Board, stop: &CancellationToken) -> Self {
        Self {
            shared: Arc::clone(shared),
            board: board.clone(),
            stop: stop.clone(),
        }
    }

    /// Whether new connections should come here: a complete table was had, and nobody
    /// asked it to stop. A lost control plane does not change that.
    #[must_use]
    pub fn ready(&self) -> bool {
        !self.stop.is_cancelled() && self.board.lock().complete
    }

    /// The metrics, as Prometheus reads them.
    #[must_use]
    pub fn metrics(&self) -> String {
        let standing = self.board.lock().clone();
        let table = self.shared.table.load();
        page::render(&self.shared.meter, &table, &standing, Instant::now())
    }

    /// A debug view: `routes`, `sync`, `quarantine` or `connections`; none under any other
    /// name.
    #[must_use]
    pub fn debug(&self, path: &str) -> Option<Value> {
        match path {
            "routes" => Some(self.routes()),
            "sync" => Some(sync(&self.board.lock(), Instant::now())),
            "quarantine" => Some(json!({ "quarantine": quarantine(&self.board.lock()) })),
            "connections" => Some(self.connections()),
            _ => None,
        }
    }

    fn routes(&self) -> Value {
        let table = self.shared.table.load();
        let mut routes: Vec<&Arc<Route>> = table.routes().collect();
        routes.sort_by_key(|route| Arc::clone(&route.spec().sni));
        let now = self.shared.began.elapsed();
        let routes: Vec<Value> = routes.into_iter().map(|route| view(route, now)).collect();
        json!({ "routes": routes })
    }

    fn connections(&self) -> Value {
        let meter = &self.shared.meter;
        let source = |source: Occupancy| {
            json!({
                "source": source.source,
                "connections": source.connections,
                "waitingHellos": source.waiting_hellos,
            })
        };
        let largest = self.shared.gate.largest(SOURCES).into_iter();
        let largest: Vec<Value> = largest.map(source).collect();
        json!({
            "open": meter.open(),
            "accepted": meter.sum(|counters| &counters.accepted),
            "waitingHellos": self.shared.gate.waiting(),
            "limits": self.shared.config.limits,
            "largestSources": largest,
        })
    }
}

fn view(route: &Route, now: Duration) -> Value {
    let spec = route.spec();
    let endpoint = |(spec, endpoint): (&EndpointSpec, &Arc<crate::route::Endpoint>)| {
        json!({
            "address": spec.address,
            "weight": spec.weight,
            "priority": spec.priority,
            "health": spec.health,
            "workload": spec.workload,
            "load": endpoint.load(),
            "ejectedForMs": endpoint.history().left(now).map(|left| left.as_millis()),
        })
    };
    let endpoints: Vec<Value> = spec
        .endpoints
        .iter()
        .zip(route.endpoints())
        .map(endpoint)
        .collect();
    json!({
        "listener": spec.listener,
        "sni": spec.sni,
        "alpn": spec.alpn,
        "closed": spec.closed,
        "service": spec.service,
        "endpoints": endpoints,
    })
}

fn sync(standing: &Standing, now: Instant) -> Value {
    json!({
        "connected": standing.connected,
        "complete": standing.complete,
        "ageMs": standing.age(now).map(|age| age.as_millis()),
        "remembered": standing.remembered.is_some(),
        "held": standing.held,
        "setAside": standing.set_aside,
        "keptAgeMs": standing.kept.map(|at| now.saturating_duration_since(at).as_millis()),
        "keepError": standing.unkept,
        "changed": standing.changed.map(|at| humantime::format_rfc3339_millis(at).to_string()),
        "connections": standing.connections,
        "lastError": standing.last_error,
        "notListening": standing.missing,
        "quarantine": quarantine(standing),
    })
}

/// What is not understood, and so closed or left out, with the reason.
fn quarantine(standing: &Standing) -> Vec<Value> {
    let all = standing.quarantine.iter();
    all.map(|((kind, name), why)| json!({ "type": kind, "name": name, "reason": why }))
        .collect()
}

/// Sources shown in the view of connections.
const SOURCES: usize = 10;
