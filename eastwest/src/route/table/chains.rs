//! The routes of one name, each for clients of other protocols.

use std::{mem, sync::Arc};

use super::Route;
use crate::passthrough::client_hello::Protocols;

/// The routes of one name; nearly always one.
#[derive(Debug, Default, Clone)]
pub(super) enum Chains {
    #[default]
    None,
    One(Arc<Route>),
    Many(Vec<Arc<Route>>),
}

impl Chains {
    pub(super) fn add(&mut self, route: Arc<Route>) {
        *self = match mem::take(self) {
            Self::None => Self::One(route),
            Self::One(own) if own.spec().alpn == route.spec().alpn => Self::One(route),
            Self::One(own) => Self::Many(vec![own, route]),
            Self::Many(mut all) => {
                all.retain(|own| own.spec().alpn != route.spec().alpn);
                all.push(route);
                Self::Many(all)
            }
        };
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        is_same(self.as_slice(), other.as_slice())
    }

    pub(super) fn as_slice(&self) -> &[Arc<Route>] {
        match self {
            Self::None => &[],
            Self::One(route) => std::slice::from_ref(route),
            Self::Many(all) => all,
        }
    }

    pub(super) fn some(&self) -> Option<&Self> {
        (!self.as_slice().is_empty()).then_some(self)
    }

    /// One that is closed counts before all others that the client could have.
    pub(super) fn find(&self, offered: Protocols<'_>) -> Option<&Arc<Route>> {
        let all = self.as_slice();
        let named = |route: &&Arc<Route>, protocol: &[u8]| {
            let own = route.spec().alpn.as_ref();
            own.is_some_and(|own| own.iter().any(|own| own.as_bytes() == protocol))
        };
        let any = |route: &&Arc<Route>| route.spec().alpn.is_none();
        let closed = all.iter().filter(|route| route.spec().closed);
        let mut closed = closed
            .filter(|route| any(route) || offered.iter().any(|protocol| named(route, protocol)));
        if let Some(closed) = closed.next() {
            return Some(closed);
        }
        let mut offered = offered.iter();
        let by_protocol = offered.find_map(|p| all.iter().find(|route| named(route, p)));
        by_protocol.or_else(|| all.iter().find(any))
    }
}

/// Whether these are the very same routes.
pub(super) fn is_same(one: &[Arc<Route>], two: &[Arc<Route>]) -> bool {
    let mut pairs = one.iter().zip(two);
    one.len() == two.len() && pairs.all(|(one, two)| Arc::ptr_eq(one, two))
}
