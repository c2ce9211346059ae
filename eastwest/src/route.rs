//! From a ClientHello to a route, and from a route to an endpoint.
//!
//! [`spec`] is what a source of routes says, [`table`] what the data plane looks up,
//! [`balance`] which endpoint is chosen. All of it is pure but for the load counters
//! that connections move.

pub mod balance;
pub mod spec;
pub mod table;

pub use spec::{EndpointSpec, Health, RouteSpec, Service, Workload};
pub use table::{Endpoint, Route, Table};

use crate::{
    error::Close,
    passthrough::{client_hello::ClientHello, sni::Sni},
};
use std::sync::Arc;

/// Finds the route for a ClientHello: by the whole name in any case, and only for a
/// client that offers one of the route's protocols. Allocates nothing.
///
/// # Errors
/// [`Close::NoSni`], [`Close::UnknownSni`] or [`Close::NoMeshAlpn`].
pub fn choose(table: &Table, hello: ClientHello<'_>) -> Result<Arc<Route>, Close> {
    let name = hello.sni.ok_or(Close::NoSni)?;
    let route = Sni::of(name)
        .and_then(|sni| table.get(sni.as_str()))
        .ok_or(Close::UnknownSni)?;
    let offered = hello.alpn.iter().any(|protocol| route.admits(protocol));
    if offered {
        Ok(Arc::clone(route))
    } else {
        Err(Close::NoMeshAlpn)
    }
}

#[cfg(test)]
mod tests;
