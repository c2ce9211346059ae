//! The table that every connection is routed by: immutable, swapped whole.
//!
//! The next table shares with the one before it every route whose spec is equal, and,
//! where a route changed, loads and histories of the addresses that stayed. A change of a few
//! names costs those names, however many others there are.

mod chains;
mod exact;
mod names;

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

pub(crate) use self::names::Match;
use self::names::Names;
use super::{
    balance::{Candidate, Dice, Levels, MAX_TRIED},
    eject::History,
    spec::{EndpointSpec, Health, Name, RouteSpec, Service, Workload},
};
use crate::{
    metrics::{Meter, Series},
    passthrough::client_hello::Protocols,
};

/// All routes, by listener and server name.
#[derive(Debug, Default, Clone)]
pub struct Table {
    listeners: Vec<(Arc<str>, Names)>,
}

/// One service port and its endpoints.
#[derive(Debug)]
pub struct Route {
    spec: Arc<RouteSpec>,
    levels: Levels,
    endpoints: Box<[Arc<Endpoint>]>,
    failed: [OnceLock<Arc<Series>>; Failure::ALL.len()],
}

/// Why a connection that has a route has no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// None may be used.
    None,
    /// None could be reached.
    Unreachable,
    /// It would be one too many.
    Overflow,
    /// Nobody may pass.
    Closed,
}

/// One address that serves a route.
#[derive(Debug)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// Who runs there.
    pub workload: Arc<Workload>,
    state: Arc<State>,
    series: OnceLock<Arc<Series>>,
}

/// What connections of all threads know of an address.
#[derive(Debug, Default)]
struct State {
    /// Those open, and those being dialled.
    load: AtomicU32,
    history: History,
}

/// One connection's part of an endpoint's load; given back when dropped.
#[derive(Debug)]
pub struct Held(Arc<Endpoint>);

impl Table {
    /// The table that has exactly the routes of `specs`. When a name comes twice for the
    /// same protocols the last one counts.
    #[must_use]
    pub fn next(&self, specs: impl IntoIterator<Item = Arc<RouteSpec>>) -> Self {
        let mut next = Self::default();
        for spec in specs {
            next.add(self.route(spec));
        }
        next
    }

    /// The table in which each of these names has exactly these routes, and everything else
    /// is as in this one.
    #[must_use]
    pub fn with(&self, changes: impl IntoIterator<Item = (Name, Vec<Arc<RouteSpec>>)>) -> Self {
        let mut next = self.clone();
        for (name, specs) in changes {
            next.remove(&name);
            for spec in specs {
                next.add(self.route(spec));
            }
        }
        next.listeners.retain(|(_, names)| !names.is_empty());
        next
    }

    /// The route of a spec, with what is to stay of the one before it.
    fn route(&self, spec: Arc<RouteSpec>) -> Arc<Route> {
        let before = self.listener(&spec.listener);
        let before = before.and_then(|names| names.same(&spec));
        match before.filter(|before| before.is_made_of(&spec)) {
            Some(same) => Arc::clone(same),
            None => Arc::new(Route::new(spec, before.map(AsRef::as_ref))),
        }
    }

    fn remove(&mut self, name: &Name) {
        let mut listeners = self.listeners.iter_mut();
        if let Some((_, names)) = listeners.find(|(own, _)| *own == name.listener) {
            names.remove(&name.sni);
        }
    }

    /// The names of which this has other routes than `before`; quick if made from it.
    #[must_use]
    pub fn differing(&self, before: &Self) -> Vec<Name> {
        let listeners = self.listeners.iter().chain(&before.listeners);
        let listeners: BTreeSet<&Arc<str>> = listeners.map(|(name, _)| name).collect();
        let none = Names::default();
        let differing = listeners.into_iter().flat_map(|listener| {
            let own = self.listener(listener).unwrap_or(&none);
            let differing = own.differing(before.listener(listener).unwrap_or(&none));
            let name = |sni| Name {
                listener: Arc::clone(listener),
                sni,
            };
            differing.into_iter().map(name)
        });
        differing.collect()
    }

    /// The routes of a name.
    #[must_use]
    pub fn named(&self, name: &Name) -> &[Arc<Route>] {
        let names = self.listener(&name.listener);
        names.map_or(&[], |names| names.of(&name.sni))
    }

    fn add(&mut self, route: Arc<Route>) {
        let name = &route.spec.listener;
        let place = self.listeners.iter().position(|(own, _)| own == name);
        let place = place.unwrap_or_else(|| {
            self.listeners.push((Arc::clone(name), Names::default()));
            self.listeners.len() - 1
        });
        self.listeners[place].1.add(route);
    }

    /// The most specific route of a listener for a lower-cased name that one of these
    /// protocols may pass, or any may.
    pub(crate) fn find(&self, listener: &str, sni: &str, offered: Protocols<'_>) -> Match<'_> {
        let names = self.listener(listener);
        names.map_or(Match::UnknownSni, |names| names.find(sni, offered))
    }

    fn listener(&self, name: &str) -> Option<&Names> {
        let found = self.listeners.iter().find(|(own, _)| **own == *name);
        found.map(|(_, names)| names)
    }

    /// Every route, in no order.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.listeners.iter().flat_map(|(_, names)| names.routes())
    }

    /// How many routes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes().next().is_none()
    }
}

impl Route {
    fn new(spec: Arc<RouteSpec>, before: Option<&Self>) -> Self {
        let known: HashMap<SocketAddr, &Arc<Endpoint>> = before
            .into_iter()
            .flat_map(|route| route.endpoints.iter().map(|e| (e.address, e)))
            .collect();
        let counted = before.is_some_and(|before| before.spec.service == spec.service);
        let endpoint = |of: &EndpointSpec| {
            let before = known.get(&of.address).copied();
            Endpoint::next(of, before, counted)
        };
        let endpoints = spec.endpoints.iter().map(endpoint).collect();
        let candidates: Vec<Candidate> = spec.endpoints.iter().map(candidate).collect();
        Self {
            levels: Levels::new(&candidates),
            endpoints,
            failed: Default::default(),
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

    /// Whether it has all the connections that it may have.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let open = || self.endpoints.iter().map(|endpoint| endpoint.load());
        let limit = self.spec.max_connections;
        limit.is_some_and(|limit| open().fold(0, u32::saturating_add) >= limit)
    }

    /// Chooses an endpoint whose place is not in `tried`, and counts on it at once, so
    /// that others who choose meanwhile see it. `now` is the age of the gateway: one that is
    /// ejected is chosen where no other one is left.
    #[must_use]
    pub fn hold(
        &self,
        tried: &[usize],
        client: IpAddr,
        now: Duration,
        dice: &mut Dice,
    ) -> Option<(usize, Held)> {
        let first = self.pick(tried, client, dice)?;
        let place = match self.endpoints[first].is_ejected(now) {
            true => self.pick_another(first, tried, client, now, dice),
            false => first,
        };
        Some((place, Held::new(Arc::clone(&self.endpoints[place]))))
    }

    fn pick(&self, tried: &[usize], client: IpAddr, dice: &mut Dice) -> Option<usize> {
        if self.spec.by_source {
            let address = |place: usize| self.endpoints[place].address;
            return self.levels.pick_for(client, tried, address);
        }
        let load = |place: usize| self.endpoints[place].load();
        self.levels.pick(tried, load, dice)
    }

    /// One in the place of `ejected`: the first drawn that is not, too; that one where none
    /// is found among [`MAX_TRIED`].
    fn pick_another(
        &self,
        ejected: usize,
        tried: &[usize],
        client: IpAddr,
        now: Duration,
        dice: &mut Dice,
    ) -> usize {
        let mut passed = [tried, &[ejected]].concat();
        while passed.len() <= MAX_TRIED
            && let Some(place) = self.pick(&passed, client, dice)
        {
            if !self.endpoints[place].is_ejected(now) {
                return place;
            }
            passed.push(place);
        }
        ejected
    }

    /// What counts the connections that end without an endpoint.
    pub(crate) fn failed(&self, why: Failure, meter: &Meter) -> &Series {
        let series = &self.failed[why as usize];
        series.get_or_init(|| meter.series(&self.spec.service, None, why.flag()))
    }
}

impl Failure {
    /// All of them, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::None, Self::Unreachable, Self::Overflow, Self::Closed];

    /// Envoy's response flag.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::None => "UH",
            Self::Unreachable => "UF",
            Self::Overflow => "UO",
            Self::Closed => "NR",
        }
    }
}

impl Endpoint {
    /// The endpoint of a spec; `before` had its address, and, if `counted`, its service.
    fn next(spec: &EndpointSpec, before: Option<&Arc<Self>>, counted: bool) -> Arc<Self> {
        let same = before.filter(|before| counted && before.workload == spec.workload);
        if let Some(same) = same {
            return Arc::clone(same);
        }
        Arc::new(Self {
            address: spec.address,
            workload: Arc::clone(&spec.workload),
            state: before.map_or_else(Arc::default, |before| Arc::clone(&before.state)),
            series: OnceLock::new(),
        })
    }

    /// Connections open or being dialled.
    #[must_use]
    pub fn load(&self) -> u32 {
        self.state.load.load(Ordering::Relaxed)
    }

    /// How reaching it went lately.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.state.history
    }

    fn is_ejected(&self, now: Duration) -> bool {
        self.state.history.is_ejected(now)
    }

    /// What counts its connections for its route's service; known from the first one on.
    pub(crate) fn series(&self, service: &Service, meter: &Meter) -> &Arc<Series> {
        let new = || meter.series(service, Some(&self.workload), "-");
        self.series.get_or_init(new)
    }
}

impl Held {
    fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.state.load.fetch_add(1, Ordering::Relaxed);
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
        self.0.state.load.fetch_sub(1, Ordering::Relaxed);
    }
}

fn candidate(spec: &EndpointSpec) -> Candidate {
    Candidate {
        priority: spec.priority,
        weight: spec.weight,
        usable: spec.health == Health::Healthy,
    }
}

#[cfg(test)]
mod tests;
