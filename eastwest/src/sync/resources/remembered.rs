//! Routes that count until the control plane has said enough about them: those from before
//! a restart of the gateway, and those that a stream just begun has not confirmed.

use std::{collections::HashMap, sync::Arc};

use crate::route::{Health, RouteSpec};

/// The routes by listener and name.
#[derive(Debug, Default)]
pub(super) struct Remembered(HashMap<Key, Arc<RouteSpec>>);

type Key = (Arc<str>, Arc<str>);

/// What a stream has said about a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Not enough.
    Little,
    /// All, and it has endpoints.
    There,
    /// All, and there is no such route, or none of its endpoints may be used.
    Empty,
}

impl Remembered {
    pub(super) fn new(routes: impl IntoIterator<Item = Arc<RouteSpec>>) -> Self {
        Self(routes.into_iter().map(|r| (key(&r), r)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, route: &RouteSpec) -> bool {
        !self.0.is_empty() && self.0.contains_key(&key(route))
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &Arc<RouteSpec>> {
        self.0.values()
    }

    /// Drops those of which enough was said; says whether there was any. With `doubt`, none
    /// that had endpoints is given up for having none now.
    pub(super) fn outgrow(&mut self, doubt: bool, said: impl Fn(&RouteSpec) -> Said) -> bool {
        let before = self.0.len();
        self.0.retain(|_, route| match said(route) {
            Said::Little => true,
            Said::There => false,
            Said::Empty => doubt && serves(route),
        });
        self.0.len() != before
    }
}

/// Whether any endpoint may be used.
pub(super) fn serves(route: &RouteSpec) -> bool {
    let mut endpoints = route.endpoints.iter();
    !route.closed && endpoints.any(|endpoint| endpoint.health == Health::Healthy)
}

fn key(route: &RouteSpec) -> Key {
    (Arc::clone(&route.listener), Arc::clone(&route.sni))
}
