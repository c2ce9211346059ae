//! What runs in a pod of each role, with which files, and when it is ready.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::{
    bootstrap::{ADMIN_PORT, Bootstrap, envoy_arguments},
    config::{GatewayListen, Site, leaf_directory},
    mount,
    objects::{DISCOVERY, DISCOVERY_NAMESPACE},
};
use crate::{
    peers::{Peers, Sidecars},
    process::Program,
    rootfs::Rootfs,
    topology::{
        APP_PORT, ClusterPlan, DISCOVERY_DEBUG_PORT, GATEWAY, MESH_PORT, OUTBOUND_PORT, Role,
        SYSTEM_NAMESPACE, Workload, XDS_PORT, labels, pod_address,
    },
};

/// Where discovery stands in every cluster, as a service address would.
pub const DISCOVERY_ADDRESS: Ipv4Addr = pod_address(3);

/// The label of a workload that says what its sidecars are, `envoy` or `builtin`, whatever
/// the world's are.
pub const SIDECAR_LABEL: &str = "scenarios.isthmus.io/sidecar";

/// Our discovery, at its address.
#[must_use]
pub fn discovery() -> Workload {
    Workload {
        namespace: DISCOVERY_NAMESPACE,
        address: Some(DISCOVERY_ADDRESS),
        ..system(DISCOVERY, Role::Discovery)
    }
}

/// Our gateway.
#[must_use]
pub fn gateway() -> Workload {
    Workload {
        namespace: SYSTEM_NAMESPACE,
        ..system(GATEWAY, Role::Gateway).at(5)
    }
}

fn system(name: &'static str, role: Role) -> Workload {
    Workload::new(name, name, labels(&[("app", name)]), role)
}

/// A pod as its programs see it.
#[derive(Debug)]
pub struct Seat<'a> {
    /// The cluster.
    pub plan: &'a ClusterPlan,
    /// Where the programs are.
    pub peers: &'a Peers,
    /// The cluster's directory: sockets and leaves of the trust agent lie there.
    pub cluster: &'a Path,
    /// The pod's own directory.
    pub directory: &'a Path,
    /// The pod's kubeconfig, for those that read the API.
    pub kubeconfig: Option<String>,
    /// What it belongs to.
    pub workload: &'a Workload,
    /// Its name.
    pub pod: &'a str,
    /// Its address.
    pub address: Ipv4Addr,
}

/// What runs, and what must answer before the pod is ready.
#[derive(Debug)]
pub struct Outfit {
    /// What runs to its end before.
    pub before: Vec<Program>,
    /// The programs, in the order in which they start and end.
    pub programs: Vec<Program>,
    /// All of these must hold.
    pub checks: Vec<Check>,
    /// The file system of its own, where it has one: then its connections are captured, not
    /// made by the loopback address of its sidecar.
    pub root: Option<Rootfs>,
}

/// A page on the pod's loopback that must answer 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The port.
    pub port: u16,
    /// The path.
    pub path: String,
    /// What the page must contain.
    pub contains: String,
}

impl Seat<'_> {
    /// Writes the pod's files and says what runs.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn outfit(&self) -> Result<Outfit> {
        match self.workload.role {
            Role::Hello { version } => {
                let mut outfit = self.sidecar(&format!("inbound_{}_{APP_PORT}", self.address))?;
                outfit
                    .programs
                    .insert(0, self.hello(version, Ipv4Addr::LOCALHOST));
                outfit.checks.push(Check::of(APP_PORT, "/hello"));
                Ok(outfit)
            }
            Role::Bare { version } => Ok(Outfit::of(
                vec![self.hello(version, Ipv4Addr::UNSPECIFIED)],
                vec![Check::of(APP_PORT, "/hello")],
            )),
            Role::Client => self.sidecar(&format!("127.0.0.1:{OUTBOUND_PORT}")),
            Role::Gateway => self.ours("eastwest", &self.gateway_config(), 15021),
            Role::Discovery => {
                self.ours("discovery", &self.discovery_config(), DISCOVERY_DEBUG_PORT)
            }
            Role::Charted { .. } | Role::Injected { .. } => {
                bail!("{} is what its object says", self.pod)
            }
        }
    }

    fn hello(&self, version: &str, address: Ipv4Addr) -> Program {
        let listen = format!("{address}:{APP_PORT}");
        Program::new(
            "app",
            &self.peers.app,
            [
                "helloworld",
                "--listen",
                &listen,
                "--version",
                version,
                "--pod",
                self.pod,
            ],
        )
    }

    /// A sidecar that is ready when it has `listener`.
    fn sidecar(&self, listener: &str) -> Result<Outfit> {
        let discovery = self.plan.identity(DISCOVERY_NAMESPACE, DISCOVERY);
        let bootstrap = Bootstrap {
            pod: self.pod,
            namespace: self.workload.namespace,
            address: self.address.into(),
            loopback: Ipv4Addr::LOCALHOST.into(),
            workload: self.workload.name,
            secrets: &secrets_socket(self.cluster, self.workload.account),
            discovery: (DISCOVERY_ADDRESS, XDS_PORT).into(),
            identity: &discovery,
        };
        let file = self.write("envoy.json", &bootstrap.value())?;
        Ok(Outfit::of(
            vec![self.sidecar_program(&file)?],
            vec![
                Check::of(ADMIN_PORT, "/ready"),
                Check {
                    contains: listener.to_owned(),
                    ..Check::of(ADMIN_PORT, "/listeners")
                },
            ],
        ))
    }

    /// An Envoy or one of our own, as the workload's label or the world says; both take
    /// one bootstrap and answer the same admin pages.
    fn sidecar_program(&self, bootstrap: &Path) -> Result<Program> {
        let kind = match self.workload.labels.get(SIDECAR_LABEL) {
            Some(kind) => kind.parse()?,
            None => self.peers.sidecars,
        };
        Ok(match kind {
            Sidecars::Builtin => {
                let bootstrap = bootstrap.display().to_string();
                let arguments = ["sidecar", "--config-path", &bootstrap];
                Program::new("sidecar", &self.peers.app, arguments)
            }
            Sidecars::Envoy => {
                Program::new("envoy", self.peers.envoy()?, envoy_arguments(bootstrap))
            }
        })
    }

    /// One of our roles, by its configuration, ready when its page says so.
    fn ours(&self, role: &str, config: &Value, port: u16) -> Result<Outfit> {
        if let Some(kubeconfig) = &self.kubeconfig {
            let files = BTreeMap::from([("config", kubeconfig.clone().into_bytes())]);
            mount::write(&self.kubeconfig_volume(), &files, 0o600)?;
        }
        let file = self.write(&format!("{role}.yaml"), config)?;
        let arguments = [role, "--config", &file.display().to_string()];
        let program = Program::new(role, &self.peers.isthmus, arguments);
        Ok(Outfit::of(
            vec![program.with_variable("RUST_LOG", "info")],
            vec![Check::of(port, "/healthz/ready")],
        ))
    }

    fn discovery_config(&self) -> Value {
        let kubeconfig = self.kubeconfig_volume().join("config");
        let debug = (Ipv4Addr::UNSPECIFIED, DISCOVERY_DEBUG_PORT).into();
        let xds = (Ipv4Addr::UNSPECIFIED, XDS_PORT).into();
        self.site(xds).discovery(&kubeconfig, debug)
    }

    fn gateway_config(&self) -> Value {
        let everywhere = |port| (Ipv4Addr::UNSPECIFIED, port).into();
        let listen = GatewayListen {
            mesh: everywhere(MESH_PORT),
            readiness: everywhere(15021),
            metrics: everywhere(15020),
            debug: (Ipv4Addr::LOCALHOST, 15000).into(),
        };
        let xds = (DISCOVERY_ADDRESS, XDS_PORT).into();
        self.site(xds)
            .gateway(self.pod, self.address.into(), &listen)
    }

    fn site(&self, xds: SocketAddr) -> Site {
        Site {
            plan: self.plan.clone(),
            cluster: self.cluster.to_owned(),
            directory: self.directory.to_owned(),
            xds,
            on_loopback: false,
        }
    }

    fn kubeconfig_volume(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// Every configuration is written as JSON, which is YAML too.
    fn write(&self, name: &str, value: &Value) -> Result<PathBuf> {
        let path = self.directory.join(name);
        std::fs::write(&path, serde_json::to_vec_pretty(value)?)?;
        Ok(path)
    }
}

impl Outfit {
    fn of(programs: Vec<Program>, checks: Vec<Check>) -> Self {
        Self {
            before: Vec::new(),
            programs,
            checks,
            root: None,
        }
    }
}

impl Check {
    fn of(port: u16, path: &str) -> Self {
        Self {
            port,
            path: path.to_owned(),
            contains: String::new(),
        }
    }
}

/// The trust agent of a node: certificates for every workload there.
#[must_use]
pub fn agent_config(plan: &ClusterPlan, cluster: &Path, accounts: &[(&str, &str)]) -> Value {
    let workloads: Vec<Value> = accounts
        .iter()
        .map(|(namespace, account)| {
            json!({
                "identity": plan.identity(namespace, account),
                "socket": secrets_socket(cluster, account),
                "directory": leaf_directory(cluster, account),
            })
        })
        .collect();
    json!({
        "authority": cluster.join("ca"),
        "lifetime": "24h",
        "workloads": workloads,
    })
}

/// The socket by which an account's workloads get their certificates.
#[must_use]
pub fn secrets_socket(cluster: &Path, account: &str) -> PathBuf {
    cluster.join("sds").join(account).join("socket")
}
