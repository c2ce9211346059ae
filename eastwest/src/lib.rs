//! The east-west gateway: carries the mesh's TLS between networks without opening it.
//!
//! A client sidecar in another network connects here and names the service in its
//! ClientHello. The gateway reads that name, chooses an endpoint, and carries bytes; it
//! has no key for them and asks nothing of them. Identity is proven between the two
//! sidecars, end to end.
//!
//! ```text
//! client ──► listener ─ admit ─ passthrough ─ route ─ dial ─ relay ──► endpoint
//!              one thread per core: a connection lives and dies on one
//!                                     ▲
//!             table, swapped whole ───┘◄── sync ◄── discovery (xDS) or a file
//!                                         a thread of its own
//! ```

pub mod config;
pub mod gateway;

mod acceptor;
pub(crate) mod worker;

mod connection;

pub mod listener;

pub mod admit;

pub mod passthrough;

pub mod route;

pub mod dial;

pub mod relay;

pub mod drain;

pub mod sync;

pub mod status;

pub mod metrics;

pub mod access_log;

pub mod error;

#[cfg(fuzzing)]
pub mod fuzz;

pub use config::{Config, Validated};
pub use error::Error;
pub use gateway::{Gateway, start, start_with};

#[cfg(test)]
mod seeds;
