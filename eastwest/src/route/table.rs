//! The table that every connection is routed by: immutable, swapped whole.
//!
//! The next table shares with the one before it every route whose spec is equal, and,
//! where a route changed, the load counters of the addresses that stayed.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{
    balance::{Candidate, Dice, Levels},
    spec::{EndpointSpec, Health, RouteSpec, Workload},
};
use crate::metrics::{Meter, Series};

/// All routes, by server name.
#[derive(Debug, Default)]
pub struct Table {
    routes: HashMap<Arc<str>, Arc<Route>>,
}

/// One service port and its endpoints.
#[derive(Debug)]
pub struct Route {
    spec: Arc<RouteSpec>,
    levels: Levels,
    endpoints: Box<[Arc<Endpoint>]>,
    /// Counted by when no endpoint may be used (`UH`).
    pub(crate) without_endpoint: Arc<Series>,
    /// Counted by when none could be reached (`UF`).
    pub(crate) unreachable: Arc<Series>,
}

/// One address that serves a route.
#[derive(Debug)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// Who runs there.
    pub workload: Arc<Workload>,
    /// Open connections of all threads, and those being dialled.
    load: Arc<AtomicU32>,
    pub(crate) series: Arc<Series>,
}

/// One connection's part of an endpoint's load; given back when dropped.
#[derive(Debug)]
pub struct Held(Arc<Endpoint>);

impl Table {
    /// The table that has exactly the routes of `specs`. When a name comes twice the
    /// last one counts.
    #[must_use]
    pub fn next(&self, specs: impl IntoIterator<Item = Arc<RouteSpec>>, meter: &Meter) -> Self {
        let route = |spec: Arc<RouteSpec>| {
            let before = self.routes.get(&spec.sni);
            let route = match before.filter(|before| before.is_made_of(&spec)) {
                Some(same) => Arc::clone(same),
                None => Arc::new(Route::new(spec, before.map(AsRef::as_ref), meter)),
            };
            (Arc::clone(&route.spec.sni), route)
        };
        Self {
            routes: specs.into_iter().map(route).collect(),
        }
    }

    /// The route of a lower-cased name.
    #[must_use]
    pub fn get(&self, sni: &str) -> Option<&Arc<Route>> {
        self.routes.get(sni)
    }

    /// Every route, in no order.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values()
    }

    /// How many routes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

impl Route {
    fn new(spec: Arc<RouteSpec>, before: Option<&Self>, meter: &Meter) -> Self {
        let known: HashMap<SocketAddr, &Arc<Endpoint>> = before
            .into_iter()
            .flat_map(|route| route.endpoints.iter().map(|e| (e.address, e)))
            .collect();
        let endpoint = |of: &EndpointSpec| Endpoint::next(of, &spec, known.get(&of.address), meter);
        let endpoints = spec.endpoints.iter().map(endpoint).collect();
        let candidates: Vec<Candidate> = spec.endpoints.iter().map(candidate).collect();
        Self {
            levels: Levels::new(&candidates),
            endpoints,
            without_endpoint: meter.series(&spec.service, None, "UH"),
            unreachable: meter.series(&spec.service, None, "UF"),
            spec,
        }
    }

    fn is_made_of(&self, spec: &Arc<RouteSpec>) -> bool {
        Arc::ptr_eq(&self.spec, spec) || self.spec == *spec
    }

    /// What its source said.
    #[must_use]
    pub fn spec(&self) -> &RouteSpec {
        &self.spec
    }

    /// The same, shared.
    #[must_use]
    pub fn shared_spec(&self) -> Arc<RouteSpec> {
        Arc::clone(&self.spec)
    }

    /// The endpoints, in the order of the spec, usable or not.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Whether a client that offers this protocol may pass.
    #[must_use]
    pub fn admits(&self, protocol: &[u8]) -> bool {
        self.spec.alpn.iter().any(|own| own.as_bytes() == protocol)
    }

    /// Chooses an endpoint whose place is not in `tried`, and counts on it at once, so
    /// that others who choose meanwhile see it.
    #[must_use]
    pub fn hold(&self, tried: &[usize], dice: &mut Dice) -> Option<(usize, Held)> {
        let load = |place: usize| self.endpoints[place].load();
        let place = self.levels.pick(tried, load, dice)?;
        Some((place, Held::new(Arc::clone(&self.endpoints[place]))))
    }
}

impl Endpoint {
    fn next(
        spec: &EndpointSpec,
        route: &RouteSpec,
        before: Option<&&Arc<Self>>,
        meter: &Meter,
    ) -> Arc<Self> {
        let series = meter.series(&route.service, Some(&spec.workload), "-");
        if let Some(same) = before.filter(|before| Arc::ptr_eq(&before.series, &series)) {
            return Arc::clone(same);
        }
        Arc::new(Self {
            address: spec.address,
            workload: Arc::clone(&spec.workload),
            load: before.map_or_else(Arc::default, |before| Arc::clone(&before.load)),
            series,
        })
    }

    /// Connections open or being dialled.
    #[must_use]
    pub fn load(&self) -> u32 {
        self.load.load(Ordering::Relaxed)
    }
}

impl Held {
    fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.load.fetch_add(1, Ordering::Relaxed);
        Self(endpoint)
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}

fn candidate(spec: &EndpointSpec) -> Candidate {
    Candidate {
        priority: spec.priority,
        weight: spec.weight,
        usable: spec.health == Health::Healthy,
    }
}
