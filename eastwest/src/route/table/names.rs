//! The routes of one listener, found as Envoy finds a filter chain: the most specific
//! server name first, then the client's first protocol that a route of that name has,
//! then one for any protocol. There is no way back to a less specific name
//! (istio-eastwest.md §2.4).

use std::sync::Arc;

use super::{
    Route,
    chains::{Chains, is_same},
    exact::Exact,
};
use crate::{passthrough::client_hello::Protocols, route::RouteSpec};

/// The routes of a listener by server name.
#[derive(Debug, Default, Clone)]
pub(super) struct Names {
    exact: Exact,
    /// By suffix with its dot, the longest first.
    below: Vec<(Arc<str>, Chains)>,
    any: Chains,
}

/// What a look-up came to.
#[derive(Debug)]
pub(crate) enum Match<'a> {
    /// A route of the client's name.
    Found(&'a Arc<Route>),
    /// A route for any name.
    AnyName(&'a Arc<Route>),
    /// The name has no route.
    UnknownSni,
    /// It has, but for other protocols.
    UnknownAlpn,
}

impl Names {
    pub(super) fn add(&mut self, route: Arc<Route>) {
        self.chains(&route.spec().sni).add(route);
    }

    fn chains(&mut self, sni: &Arc<str>) -> &mut Chains {
        let Some(suffix) = sni.strip_prefix('*') else {
            return self.exact.get_mut(sni);
        };
        if suffix.is_empty() {
            return &mut self.any;
        }
        let order = |(own, _): &(Arc<str>, Chains)| suffix.len().cmp(&own.len());
        let found = self
            .below
            .binary_search_by(|own| order(own).then_with(|| (*own.0).cmp(suffix)));
        let place = found.unwrap_or_else(|place| {
            self.below.insert(place, (suffix.into(), Chains::None));
            place
        });
        &mut self.below[place].1
    }

    /// Takes all routes of a name away.
    pub(super) fn remove(&mut self, sni: &str) {
        match sni.strip_prefix('*') {
            None => self.exact.remove(sni),
            Some("") => self.any = Chains::None,
            Some(suffix) => self.below.retain(|own| *own.0 != *suffix),
        }
    }

    /// The routes of a name as a chain states it, not of those that it covers.
    pub(super) fn of(&self, sni: &str) -> &[Arc<Route>] {
        let chains = match sni.strip_prefix('*') {
            None => self.exact.get(sni),
            Some("") => Some(&self.any),
            Some(suffix) => {
                let mut below = self.below.iter();
                below.find(|own| *own.0 == *suffix).map(|own| &own.1)
            }
        };
        chains.map_or(&[], Chains::as_slice)
    }

    /// The route with the spec's name and protocols.
    pub(super) fn same(&self, spec: &RouteSpec) -> Option<&Arc<Route>> {
        let mut routes = self.of(&spec.sni).iter();
        routes.find(|route| route.spec().alpn == spec.alpn)
    }

    /// The names of which this has other routes than `other`.
    pub(super) fn differing(&self, other: &Self) -> Vec<Arc<str>> {
        let exact = self.exact.differing(&other.exact).cloned();
        let below = |names: &Self| -> Vec<Arc<str>> {
            let all = names.below.iter().map(|(suffix, _)| suffix);
            all.map(|suffix| format!("*{suffix}").into()).collect()
        };
        let mut patterns = [below(self), below(other), vec!["*".into()]].concat();
        patterns.sort();
        patterns.dedup();
        patterns.retain(|name| !is_same(self.of(name), other.of(name)));
        exact.chain(patterns).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.routes().next().is_none()
    }

    pub(super) fn find(&self, sni: &str, offered: Protocols<'_>) -> Match<'_> {
        let below = || {
            let mut below = self.below.iter();
            let (_, chains) = below.find(|own| is_below(sni, &own.0))?;
            chains.some()
        };
        if let Some(chains) = self.exact.get(sni).or_else(below) {
            return chains
                .find(offered)
                .map_or(Match::UnknownAlpn, Match::Found);
        }
        match (self.any.some(), self.any.find(offered)) {
            (_, Some(route)) => Match::AnyName(route),
            (Some(_), None) => Match::UnknownAlpn,
            (None, None) => Match::UnknownSni,
        }
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let below = self.below.iter().map(|(_, chains)| chains);
        let all = self.exact.values().chain(below).chain([&self.any]);
        all.flat_map(Chains::as_slice)
    }
}

/// Whether at least one character comes before the suffix.
fn is_below(sni: &str, suffix: &str) -> bool {
    sni.len() > suffix.len() && sni.ends_with(suffix)
}
