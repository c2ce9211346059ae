//! Discovery: watches the API servers of all member clusters with service-account tokens,
//! merges what they say into one picture, and tells each consumer what it may see.
//!
//! ```text
//! remote secrets ── registry ──┐ which clusters, by which credential
//!                              ▼
//! API servers ── cluster ── remote (heartbeat, watch → project) ── observations
//!                              │ state: connecting, live, stale        │
//!                              ▼                                       ▼
//!                           status, metrics        merge (export, import) model::Mesh ── pace ─┐
//!                                                                           ▼
//! sidecars, gateways ◀── serve (xDS) ◀── horizon: what one viewer may see ◀─┤
//!                                   disk ◀── snapshot: known after a restart ◀─┘
//! ```
//!
//! Unknown is not empty: nothing leaves the picture that was not observed to be gone.

pub mod config;
pub mod error;

mod cluster;
mod registry;

mod credential;

mod remote;

pub mod model;

mod export;
mod import;
mod merge;

mod pace;

pub mod ingest;

pub mod horizon;

mod snapshot;

pub mod serve;

pub mod discovery;

mod metrics;
pub mod status;

#[cfg(fuzzing)]
pub mod fuzz;

pub use config::Config;
pub use discovery::{Discovery, start};
pub use error::Error;
pub use ingest::Ingest;
