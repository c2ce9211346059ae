//! What our roles are told, wherever they stand.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::objects::{DISCOVERY, DISCOVERY_NAMESPACE};
use crate::topology::{ClusterPlan, GATEWAY, SYSTEM_NAMESPACE};

/// A role's place: its cluster, and where files are.
#[derive(Debug, Clone)]
pub struct Site {
    /// The cluster.
    pub plan: ClusterPlan,
    /// The cluster's directory, with the leaves of its accounts.
    pub cluster: PathBuf,
    /// The role's own directory.
    pub directory: PathBuf,
    /// Where discovery's xDS is.
    pub xds: SocketAddr,
    /// Whether all that is dialled is on loopback.
    pub on_loopback: bool,
}

/// Where a gateway listens.
#[derive(Debug, Clone, Copy)]
pub struct GatewayListen {
    /// TLS of the mesh.
    pub mesh: SocketAddr,
    /// `/healthz/ready`.
    pub readiness: SocketAddr,
    /// `/metrics`.
    pub metrics: SocketAddr,
    /// Debug views.
    pub debug: SocketAddr,
}

impl Site {
    /// A discovery that reads its cluster by `kubeconfig`, and shows its pages at `debug`.
    #[must_use]
    pub fn discovery(&self, kubeconfig: &Path, debug: SocketAddr) -> Value {
        json!({
            "cluster": self.plan.name,
            "trustDomain": self.plan.trust_domain,
            "systemNamespace": SYSTEM_NAMESPACE,
            "clusterDomain": "cluster.local",
            "kubeconfig": kubeconfig,
            "exports": "marked",
            "import": { "allowLoopback": self.on_loopback },
            "tls": { "directory": leaf_directory(&self.cluster, DISCOVERY) },
            "listen": { "xds": self.xds, "debug": debug },
            "gateways": [{ "namespace": SYSTEM_NAMESPACE, "serviceAccount": GATEWAY }],
            "state": { "directory": state_directory(&self.directory) },
        })
    }

    /// The gateway `pod` at `address`.
    #[must_use]
    pub fn gateway(&self, pod: &str, address: IpAddr, listen: &GatewayListen) -> Value {
        json!({
            "cluster": self.plan.name,
            "network": self.plan.network,
            "node": {
                "pod": pod,
                "namespace": SYSTEM_NAMESPACE,
                "address": address,
                "workload": GATEWAY,
            },
            "listen": {
                "mesh": listen.mesh,
                "readiness": listen.readiness,
                "metrics": listen.metrics,
                "debug": listen.debug,
            },
            "dial": { "allowLoopback": self.on_loopback },
            "source": {
                "xds": {
                    "address": self.xds,
                    "identity": self.plan.identity(DISCOVERY_NAMESPACE, DISCOVERY),
                    "tls": { "directory": leaf_directory(&self.cluster, GATEWAY) },
                },
            },
            "state": { "directory": state_directory(&self.directory) },
            "accessLog": true,
        })
    }
}

/// Where the pod of this directory keeps what outlives its process.
#[must_use]
pub fn state_directory(pod: &Path) -> PathBuf {
    pod.join("state")
}

/// The directory in which an account's leaf is kept fresh.
#[must_use]
pub fn leaf_directory(cluster: &Path, account: &str) -> PathBuf {
    cluster.join("tls").join(account)
}
