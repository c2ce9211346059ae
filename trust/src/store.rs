//! Certificates on disk: directories that are read as one and written whole or not at all.
//!
//! | directory | files | replaced by |
//! |---|---|---|
//! | CA (Istio's `cacerts` layout) | `ca-cert.pem` `ca-key.pem` `cert-chain.pem` `root-cert.pem` | nobody: written once |
//! | waiting CA | `ca-key.pem` `ca-request.pem` | nobody: written once |
//! | leaf | `cert-chain.pem` (leaf, then intermediates, no root) `key.pem` `root-cert.pem` | swapping the link `..data` |
//!
//! CA directories hold plain files, so that `kubectl create secret --from-file` takes them.

#[cfg(feature = "ca")]
mod authority;
mod credential;
mod directory;
#[cfg(feature = "ca")]
mod leaf;
#[cfg(feature = "ca")]
mod request;
#[cfg(feature = "ca")]
mod write;

pub use credential::WorkloadCredential;
pub(crate) use directory::Snapshot;
#[cfg(feature = "ca")]
pub use request::PendingCa;
#[cfg(feature = "ca")]
pub(crate) use write::private_directory;

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
