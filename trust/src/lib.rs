//! Trust: one shared root, one intermediate per cluster, and the certificates below them.
//!
//! ```text
//! root ── [issuer] ── intermediate of a cluster (pathlen 0) ── leaf of a workload
//! ```
//!
//! Features: none verifies (what a gateway needs); `request` makes keys and signing requests;
//! `ca` signs, keeps a hierarchy and serves it to workloads.

pub mod identity;

pub mod bundle;

#[cfg(feature = "request")]
pub mod key;

pub mod certificate;

#[cfg(feature = "request")]
pub mod request;

#[cfg(feature = "ca")]
pub mod issue;

#[cfg(feature = "ca")]
pub mod hierarchy;

pub mod store;

pub mod tls;

#[cfg(feature = "ca")]
pub mod sds;

mod error;
#[cfg(test)]
#[cfg(feature = "ca")]
mod samples;

use std::sync::Arc;

pub use error::{Error, Side};

/// The cryptography of every verification and handshake in this crate.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
