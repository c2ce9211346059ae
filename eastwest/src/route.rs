//! From a ClientHello to a route, and from a route to an endpoint.
//!
//! [`spec`] is what a source of routes says, [`table`] what the data plane looks up,
//! [`balance`] which endpoint is chosen, [`eject`] which are left out for a while. All of it
//! is pure but for the loads and histories that connections move.

pub mod balance;
pub mod eject;
pub mod spec;
pub mod table;

pub use spec::{EndpointSpec, Health, Name, RouteSpec, Service, Workload};
pub use table::{Endpoint, Failure, Route, Table};

use self::table::Match;
use crate::{
    error::Close,
    passthrough::{client_hello::ClientHello, names::Names, sni::Sni},
};
use std::sync::Arc;

/// Finds the route of a listener for a ClientHello: by the name in any case, and by the
/// protocols that the client offers. A route for any name carries only those of `names`.
/// Allocates nothing.
///
/// # Errors
/// [`Close::NoSni`], [`Close::UnknownSni`], [`Close::NoMeshAlpn`] or
/// [`Close::NameNotListed`].
pub fn choose(
    table: &Table,
    listener: &str,
    names: &Names,
    hello: ClientHello<'_>,
) -> Result<Arc<Route>, Close> {
    let name = hello.sni.ok_or(Close::NoSni)?;
    let sni = Sni::of(name).ok_or(Close::UnknownSni)?;
    match table.find(listener, sni.as_str(), hello.alpn) {
        Match::Found(route) => Ok(Arc::clone(route)),
        Match::AnyName(route) if names.contain(sni.as_str()) => Ok(Arc::clone(route)),
        Match::AnyName(_) => Err(Close::NameNotListed),
        Match::UnknownSni => Err(Close::UnknownSni),
        Match::UnknownAlpn => Err(Close::NoMeshAlpn),
    }
}

#[cfg(test)]
mod tests;
