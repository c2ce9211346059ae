//! What can go wrong before discovery runs. Afterwards nothing ends it: a fault of a peer is
//! a state that is shown, not an error.

use std::path::PathBuf;

pub use crate::cluster::Flaw;

/// Why discovery does not start. None of these is worth a retry without a change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The own cluster's kubeconfig is not usable.
    #[error("kubeconfig {path}: {flaw}", path = .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// There is neither a kubeconfig nor a service account to reach the own cluster with.
    #[error(
        "no way to the own cluster: {0}; run in a pod with a service account, or set `kubeconfig`"
    )]
    NotInCluster(String),
    /// TLS towards an API server cannot be set up.
    #[error("TLS to {server}: {reason}")]
    Tls {
        /// The API server.
        server: String,
        /// What the TLS library says.
        reason: String,
    },
    /// The credential of our own servers is not usable.
    #[error("tls.directory: {0}")]
    Credential(#[from] trust::Error),
    /// A listener of the xDS server is not usable.
    #[error(transparent)]
    Serve(#[from] crate::serve::xds::Unusable),
}
