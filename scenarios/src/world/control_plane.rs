//! A cluster's control plane: etcd, kube-apiserver, kube-controller-manager.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::json;

use super::{api::Api, kubeconfig::Kubeconfig, objects::base64, pki};
use crate::{
    netns::Netns,
    peers::Peers,
    probe::eventually,
    process::{Process, Program},
    topology::{API_PORT, ClusterPlan, SERVICE_RANGE},
};

/// The running control plane of a cluster.
///
/// Dropping it kills the controllers first, then the API server, then etcd.
#[derive(Debug)]
pub struct ControlPlane {
    controllers: Option<Process>,
    server: Process,
    etcd: Process,
    admin: Kubeconfig,
    api: Api,
}

/// Where a control plane's files and logs go.
#[derive(Debug, Clone)]
pub struct Places {
    /// Data, keys and configuration.
    pub directory: PathBuf,
    /// Logs; each file begins with the cluster's name.
    pub logs: PathBuf,
    /// Which controllers run, beside those that every world needs.
    pub controllers: &'static [&'static str],
}

impl ControlPlane {
    /// Starts all three in the node's namespace and waits until the API answers.
    ///
    /// # Errors
    /// When one of them ends, or the API is not ready in time.
    pub async fn start(
        plan: &ClusterPlan,
        peers: &Peers,
        node: &Netns,
        places: &Places,
    ) -> Result<Self> {
        let directory = &places.directory;
        fs::create_dir_all(directory)?;
        let authority = pki::write(directory, plan)?;
        fs::write(
            directory.join("tokens.csv"),
            format!("{ADMIN_TOKEN},admin,admin,system:masters\n"),
        )?;
        fs::write(
            directory.join("audit.yaml"),
            serde_json::to_vec(&audit_policy())?,
        )?;
        let admin = Kubeconfig {
            cluster: plan.name.clone(),
            server: plan.api(),
            authority: base64(authority.as_bytes())?,
            token: ADMIN_TOKEN.to_owned(),
        };
        let kubeconfig = directory.join("admin.kubeconfig");
        fs::write(&kubeconfig, admin.yaml()?)?;

        let log = |name: &str| places.logs.join(format!("{}-{name}.log", plan.name));
        let etcd = Process::start(etcd(&peers.etcd, directory), node, log("etcd"))?;
        let server = apiserver(&peers.kube, directory, plan, &log("audit"));
        let server = Process::start(server, node, log("apiserver"))?;
        let api = Api::connect(&admin).await?;
        let mut plane = Self {
            controllers: None,
            server,
            etcd,
            admin,
            api,
        };
        plane.ready().await?;
        let controllers = controllers(&peers.kube, places, &kubeconfig);
        plane.controllers = Some(Process::start(controllers, node, log("controllers"))?);
        Ok(plane)
    }

    /// A client that may do everything.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The kubeconfig of that client; with another token, of another account.
    #[must_use]
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.admin
    }

    /// Kills the API server as a crash would; etcd keeps what it knew.
    pub fn stop(&mut self) {
        self.server.kill();
    }

    /// Starts the API server again on the same data and waits until it answers.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn start_again(&mut self, node: &Netns) -> Result<()> {
        self.server.start_again(node)?;
        self.ready().await
    }

    async fn ready(&mut self) -> Result<()> {
        let (server, etcd, api) = (&mut self.server, &mut self.etcd, &self.api);
        eventually("the API server is ready", READY_LIMIT, async || {
            etcd.check()?;
            server.check()?;
            api.ready().await
        })
        .await
        .with_context(|| format!("API server {}", self.admin.server))
    }
}

fn etcd(binary: &Path, directory: &Path) -> Program {
    Program::new(
        "etcd",
        binary,
        [
            format!("--data-dir={}", directory.join("etcd").display()),
            "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
            "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
            "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-advertise-peer-urls=http://127.0.0.1:2380".to_owned(),
            "--initial-cluster=default=http://127.0.0.1:2380".to_owned(),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ],
    )
}

fn apiserver(binary: &Path, directory: &Path, plan: &ClusterPlan, audit: &Path) -> Program {
    let file = |name: &str| directory.join(name).display().to_string();
    Program::new(
        "apiserver",
        binary,
        [
            "apiserver".to_owned(),
            "--etcd-servers=http://127.0.0.1:2379".to_owned(),
            format!("--secure-port={API_PORT}"),
            "--bind-address=0.0.0.0".to_owned(),
            format!("--advertise-address={}", plan.node()),
            format!("--cert-dir={}", file("")),
            format!("--tls-cert-file={}", file("server.crt")),
            format!("--tls-private-key-file={}", file("server.key")),
            format!("--service-account-key-file={}", file("accounts.pub")),
            format!(
                "--service-account-signing-key-file={}",
                file("accounts.key")
            ),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            format!("--token-auth-file={}", file("tokens.csv")),
            format!("--service-cluster-ip-range={SERVICE_RANGE}"),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            // Webhooks are dialled at their pods: there is no kube-proxy.
            "--enable-aggregator-routing=true".to_owned(),
            "--enable-priority-and-fairness=false".to_owned(),
            format!("--audit-policy-file={}", file("audit.yaml")),
            format!("--audit-log-path={}", audit.display()),
        ],
    )
}

fn controllers(binary: &Path, places: &Places, kubeconfig: &Path) -> Program {
    let file = |name: &str| places.directory.join(name).display().to_string();
    let named = [CONTROLLERS, places.controllers].concat().join(",");
    Program::new(
        "controllers",
        binary,
        [
            "controller-manager".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            "--leader-elect=false".to_owned(),
            format!("--controllers={named}"),
            format!(
                "--service-account-private-key-file={}",
                file("accounts.key")
            ),
            format!("--root-ca-file={}", file("ca.crt")),
            "--secure-port=0".to_owned(),
        ],
    )
}

/// Who asked for what: enough to count lists and watches by account.
fn audit_policy() -> serde_json::Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata" }],
    })
}

/// What every world needs.
const CONTROLLERS: &[&str] = &[
    "endpointslice-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
];
const ADMIN_TOKEN: &str = "admin-of-a-world-that-ends-with-its-test";
const READY_LIMIT: Duration = Duration::from_secs(60);
