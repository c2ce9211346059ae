//! Certificates and state on disk: read as one, and written whole or not at all.
//!
//! | directory | files | replaced by |
//! |---|---|---|
//! | CA (Istio's `cacerts` layout) | `ca-cert.pem` `ca-key.pem` `cert-chain.pem` `root-cert.pem` | nobody: written once |
//! | waiting CA | `ca-key.pem` `ca-request.pem` | nobody: written once |
//! | leaf | `cert-chain.pem` (leaf, then intermediates, no root) `key.pem` `root-cert.pem` | swapping the link `..data` |
//!
//! CA directories hold plain files, so that `kubectl create secret --from-file` takes them.
//!
//! What discovery keeps over a restart is a [`StateFile`] under a [`Seal`], and what the
//! gateway does a [`Journal`].

#[cfg(feature = "ca")]
mod authority;
mod credential;
mod directory;
pub mod journal;
#[cfg(feature = "ca")]
mod leaf;
mod private;
#[cfg(feature = "ca")]
mod request;
mod seal;
mod state_file;
#[cfg(feature = "ca")]
mod write;

pub use credential::WorkloadCredential;
pub(crate) use directory::Snapshot;
pub use journal::Journal;
#[cfg(feature = "ca")]
pub(crate) use private::directory as private_directory;
#[cfg(feature = "ca")]
pub use request::PendingCa;
pub use seal::{Broken, Seal};
pub use state_file::{Found, StateFile};

pub(crate) const CHAIN: &str = "cert-chain.pem";
pub(crate) const LEAF_KEY: &str = "key.pem";
pub(crate) const ROOTS: &str = "root-cert.pem";
#[cfg(feature = "ca")]
pub(crate) const CA_CERT: &str = "ca-cert.pem";
#[cfg(feature = "ca")]
pub(crate) const CA_KEY: &str = "ca-key.pem";
#[cfg(feature = "ca")]
pub(crate) const REQUEST: &str = "ca-request.pem";

#[cfg(test)]
#[cfg(feature = "ca")]
mod tests;
