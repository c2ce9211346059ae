//! Routes that count until the control plane has said enough about them: those from before
//! a restart of the gateway, and those that a stream just begun has not confirmed.

use std::{collections::HashMap, sync::Arc};

use crate::route::{Health, Name, RouteSpec};

/// The routes by listener and server name.
#[derive(Debug, Default)]
pub(super) struct Remembered(HashMap<Name, Vec<Arc<RouteSpec>>>);

/// What a stream has said about the routes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Not enough.
    Little,
    /// All, and one has endpoints.
    There,
    /// All, and there is no such route, or none of its endpoints may be used.
    Empty,
}

impl Said {
    /// What was said about both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Little, _) | (_, Self::Little) => Self::Little,
            (Self::There, _) | (_, Self::There) => Self::There,
            (Self::Empty, Self::Empty) => Self::Empty,
        }
    }
}

impl Remembered {
    pub(super) fn new(routes: impl IntoIterator<Item = Arc<RouteSpec>>) -> Self {
        let mut named: HashMap<_, Vec<_>> = HashMap::new();
        for route in routes {
            named.entry(route.name()).or_default().push(route);
        }
        Self(named)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many routes there are.
    pub(super) fn len(&self) -> usize {
        self.routes().count()
    }

    pub(super) fn contains(&self, route: &RouteSpec) -> bool {
        !self.is_empty() && self.0.contains_key(&route.name())
    }

    /// The routes of a name, if it is remembered.
    pub(super) fn named(&self, name: &Name) -> Option<&[Arc<RouteSpec>]> {
        self.0.get(name).map(Vec::as_slice)
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &Arc<RouteSpec>> {
        self.0.values().flatten()
    }

    /// Drops those of which enough was said, and says which. With `doubt`, none that had
    /// endpoints is given up for having none now.
    pub(super) fn outgrow(&mut self, doubt: bool, said: impl Fn(&Name) -> Said) -> Vec<Name> {
        let outgrown = self.0.extract_if(|name, routes| match said(name) {
            Said::Little => false,
            Said::There => true,
            Said::Empty => !(doubt && routes.iter().any(|route| serves(route))),
        });
        outgrown.map(|(name, _)| name).collect()
    }
}

/// Whether any endpoint may be used.
pub(super) fn serves(route: &RouteSpec) -> bool {
    let mut endpoints = route.endpoints.iter();
    !route.closed && endpoints.any(|endpoint| endpoint.health == Health::Healthy)
}
