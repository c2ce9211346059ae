//! Certificates on disk: directories that are read as one and written whole or not at all.
//!
//! | directory | files |
//! |---|---|
//! | CA (Istio's `cacerts` layout) | `ca-cert.pem` `ca-key.pem` `cert-chain.pem` `root-cert.pem` |
//! | leaf | `cert-chain.pem` (leaf, then intermediates, no root) `key.pem` `root-cert.pem` |

mod credential;
mod directory;

pub use credential::WorkloadCredential;
pub(crate) use directory::Snapshot;

pub(crate) const CHAIN: &str = "cert-chain.pem";
pub(crate) const LEAF_KEY: &str = "key.pem";
pub(crate) const ROOTS: &str = "root-cert.pem";
