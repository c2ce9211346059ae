//! What can go wrong before discovery runs. Afterwards nothing ends it: a fault of a peer is
//! a state that is shown, not an error.

use std::path::PathBuf;

pub use crate::cluster::Flaw;
use crate::config::Problem;

/// Why discovery does not start. None of these is worth a retry without a change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are not YAML of the right shape.
    #[error("the settings cannot be read: {0}; compare with discovery/examples/discovery.yaml")]
    ConfigSyntax(#[source] serde_yaml_ng::Error),
    /// The settings contradict themselves.
    #[error("the settings do not hold: {}", list(.0))]
    Config(Vec<Problem>),
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
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
