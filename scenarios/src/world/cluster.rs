//! One cluster of a world: its node, its control plane, its pods.

mod deployment;
pub mod istio;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::{
    core::v1::{Node, Pod as PodObject, Secret, Service},
    discovery::v1::EndpointSlice,
};
use serde_json::json;

use super::{
    Wan,
    api::Api,
    balancer::Balancer,
    config::leaf_directory,
    control_plane::{ControlPlane, Places},
    furniture::{self, ACCOUNTS},
    host::Host,
    kubeconfig::Kubeconfig,
    objects,
    pod::Pod,
    role,
};
use crate::{
    netns::{Bridge, Netns},
    peers::Peers,
    probe::eventually,
    process::{Process, Program},
    topology::{
        Addresses, ClusterPlan, GATEWAY, NODE_ON_POD_BRIDGE, POD_RANGE, Role, SYSTEM_NAMESPACE,
        ServicePlan, Workload,
    },
};
use istio::Installed;

/// A standing cluster. Dropping it ends the pods, then the trust agent, then the
/// control plane, then the node.
#[derive(Debug)]
pub struct Cluster {
    pods: BTreeMap<String, Pod>,
    agent: Option<Process>,
    installed: Option<Installed>,
    balancer: Option<Balancer>,
    control: ControlPlane,
    bridge: Bridge,
    node: Netns,
    wan: Rc<Wan>,
    plan: ClusterPlan,
    peers: Peers,
    run: String,
    directory: PathBuf,
    logs: PathBuf,
    addresses: Addresses,
    made: BTreeMap<&'static str, u32>,
}

impl Cluster {
    /// Brings up the node and the control plane, with the namespaces, accounts
    /// and rights that every cluster of a mesh has.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start(
        plan: ClusterPlan,
        peers: Peers,
        run: &str,
        home: &Path,
        wan: Rc<Wan>,
    ) -> Result<Self> {
        let (node, bridge) = node(&plan, run, &wan)?;
        let directory = home.join(&plan.name);
        let logs = home.join("log");
        let places = Places {
            directory: directory.join("control-plane"),
            logs: logs.clone(),
            controllers: &[],
        };
        let control = ControlPlane::start(&plan, &peers, &node, &places).await?;
        let cluster = Self {
            pods: BTreeMap::new(),
            agent: None,
            installed: None,
            balancer: None,
            control,
            bridge,
            node,
            wan,
            plan,
            peers,
            run: run.to_owned(),
            directory,
            logs,
            addresses: Addresses::default(),
            made: BTreeMap::new(),
        };
        furniture::bring(cluster.api(), &cluster.plan).await?;
        cluster
            .api()
            .create::<Node>(objects::node(&cluster.plan))
            .await?;
        Ok(cluster)
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &ClusterPlan {
        &self.plan
    }

    /// The API, with every right.
    #[must_use]
    pub fn api(&self) -> &Api {
        self.control.api()
    }

    /// Where the cluster's files are; its CA lies in `ca`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its pods by name.
    #[must_use]
    pub fn pods(&self) -> &BTreeMap<String, Pod> {
        &self.pods
    }

    /// The namespace of its node.
    #[must_use]
    pub fn node(&self) -> &Netns {
        &self.node
    }

    /// The pods of a workload, by name.
    pub fn pods_of(&self, workload: &str) -> impl Iterator<Item = &Pod> {
        self.pods
            .values()
            .filter(move |pod| pod.workload().name == workload)
    }

    /// The first pod of a workload.
    ///
    /// # Errors
    /// When it has none.
    pub fn pod(&self, workload: &str) -> Result<&Pod> {
        self.pods_of(workload)
            .next()
            .with_context(|| format!("{} has no pod of {workload}", self.plan.name))
    }

    /// The first pod of a workload, to be changed.
    ///
    /// # Errors
    /// When it has none.
    pub fn pod_mut(&mut self, workload: &str) -> Result<&mut Pod> {
        self.pods
            .values_mut()
            .find(|pod| pod.workload().name == workload)
            .with_context(|| format!("{} has no pod of {workload}", self.plan.name))
    }

    /// Starts the node's trust agent, which keeps certificates for every account
    /// from the intermediate in `ca`, and waits until all have theirs.
    ///
    /// # Errors
    /// When it cannot start, or ends.
    pub async fn start_agent(&mut self) -> Result<()> {
        let config = role::agent_config(&self.plan, &self.directory, ACCOUNTS);
        let file = self.directory.join("sds.yaml");
        fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
        let arguments = ["trust", "sds", "--config", &file.display().to_string()];
        let program = Program::new("trust-agent", &self.peers.isthmus, arguments)
            .with_variable("RUST_LOG", "info");
        let log = self
            .logs
            .join(format!("{}-trust-agent.log", self.plan.name));
        let agent = self.agent.insert(Process::start(program, &self.node, log)?);
        eventually("every account has a certificate", AGENT_LIMIT, async || {
            agent.check()?;
            for (_, account) in ACCOUNTS {
                let leaf = leaf_directory(&self.directory, account);
                let socket = role::secrets_socket(&self.directory, account);
                ensure!(leaf.join("root-cert.pem").exists(), "no leaf for {account}");
                ensure!(socket.exists(), "no socket for {account}");
            }
            Ok(())
        })
        .await
    }

    /// The trust agent, once it was started.
    ///
    /// # Errors
    /// When it was not.
    pub fn agent_mut(&mut self) -> Result<&mut Process> {
        let name = &self.plan.name;
        let agent = self.agent.as_mut();
        agent.with_context(|| format!("{name} has no trust agent"))
    }

    /// Kills the trust agent as a crash would and starts it anew, without waiting for it.
    ///
    /// # Errors
    /// When it cannot start, or never was.
    pub fn crash_agent(&mut self) -> Result<()> {
        let agent = self.agent.as_mut().context("there is no trust agent")?;
        agent.start_again(&self.node)
    }

    /// The leaf directories that the agent keeps.
    pub fn leaves(&self) -> impl Iterator<Item = PathBuf> {
        let accounts = ACCOUNTS.iter();
        accounts.map(|(_, account)| leaf_directory(&self.directory, account))
    }

    /// Makes a kubeconfig with a token of the reader's account, which ends when
    /// the Secret `anchor` is deleted.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn reader_kubeconfig(&self, anchor: &str) -> Result<String> {
        let token = furniture::bound_token(self.api(), anchor).await?;
        self.kubeconfig(token).yaml()
    }

    /// Adopts a peer: its kubeconfig as the remote secret that istioctl writes.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn add_remote_secret(&self, peer: &str, kubeconfig: &str) -> Result<()> {
        let secret = objects::remote_secret(peer, kubeconfig);
        self.api().create::<Secret>(secret).await
    }

    /// Creates a service.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn serve(&self, service: &ServicePlan) -> Result<()> {
        self.api()
            .create::<Service>(objects::service(service))
            .await?;
        match self.installed {
            Some(_) => self.name_services().await,
            None => Ok(()),
        }
    }

    /// Creates the gateway's service and gives it the wan address, as a cloud's
    /// load balancer would.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn serve_gateway(&self) -> Result<()> {
        self.api()
            .create::<Service>(objects::gateway_service(&self.plan))
            .await?;
        let status = json!({ "loadBalancer": { "ingress": [{ "ip": self.plan.gateway() }] } });
        self.api()
            .set_status::<Service>(SYSTEM_NAMESPACE, GATEWAY, status)
            .await?;
        Ok(())
    }

    /// Gives Services of type `LoadBalancer` an address on the wan from now on, and balances
    /// over the pods behind them, as a cloud and its nodes do.
    ///
    /// # Errors
    /// When the node's kernel refuses.
    pub fn balance_loads(&mut self) -> Result<()> {
        let addresses = vec![self.plan.gateway(), self.plan.other_gateway()];
        let balancer = Balancer::start(self.api(), &self.node, &self.directory, addresses)?;
        self.balancer = Some(balancer);
        Ok(())
    }

    /// Marks a service for other clusters, or removes the mark; says when it wrote.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn export(&self, namespace: &str, name: &str, open: bool) -> Result<SystemTime> {
        let mark = open.then_some("true");
        let patch = json!({ "metadata": { "labels": { objects::EXPORT_LABEL: mark } } });
        let written = SystemTime::now();
        self.api()
            .merge::<Service>(Some(namespace), name, &patch)
            .await?;
        Ok(written)
    }

    /// Adds pods until the workload has `replicas`, and waits until all are ready.
    ///
    /// # Errors
    /// When one does not become ready.
    pub async fn scale_up(&mut self, workload: &Workload, replicas: usize) -> Result<()> {
        let kubeconfig = self.own_kubeconfig(workload).await?;
        let mut planned = Vec::new();
        for _ in self.pods_of(workload.name).count()..replicas {
            let number = self.made.entry(workload.name).or_default();
            let name = format!("{}-{number}", workload.name);
            let address = match workload.address.filter(|_| *number == 0) {
                Some(address) => address,
                None => self.addresses.take().context("no pod address is left")?,
            };
            *number += 1;
            planned.push((name, address));
        }
        let host = self.host();
        let started = try_join_all(planned.iter().map(|(name, address)| {
            let kubeconfig = kubeconfig.clone();
            async move {
                let mut pod = Pod::start(host, workload, name, *address, kubeconfig).await?;
                pod.become_ready(host).await?;
                anyhow::Ok(pod)
            }
        }))
        .await?;
        self.pods
            .extend(started.into_iter().map(|pod| (pod.name().to_owned(), pod)));
        Ok(())
    }

    /// Deletes pods until the workload has `replicas`. They go on serving for
    /// `linger` after the API was told, as pods with a `preStop` sleep do; says
    /// when the first delete was sent.
    ///
    /// # Errors
    /// When the API refuses, or a program does not end.
    pub async fn scale_down(
        &mut self,
        workload: &Workload,
        replicas: usize,
        linger: Duration,
    ) -> Result<SystemTime> {
        let names: Vec<String> = self
            .pods_of(workload.name)
            .skip(replicas)
            .map(|pod| pod.name().to_owned())
            .collect();
        let written = SystemTime::now();
        for name in &names {
            let grace = Some(linger + TERMINATION);
            self.api()
                .delete::<PodObject>(workload.namespace, name, grace)
                .await?;
        }
        tokio::time::sleep(linger).await;
        let ending: Vec<Pod> = names
            .iter()
            .filter_map(|name| self.pods.remove(name))
            .collect();
        let api = self.control.api();
        try_join_all(ending.into_iter().map(|pod| pod.end(api))).await?;
        Ok(written)
    }

    /// The addresses that the real controller lists as ready for a service.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn ready_addresses(&self, namespace: &str, service: &str) -> Result<Vec<String>> {
        let selector = format!("kubernetes.io/service-name={service}");
        let slices: Vec<EndpointSlice> = self.api().list(namespace, &selector).await?;
        Ok(slices
            .into_iter()
            .flat_map(|slice| slice.endpoints.unwrap_or_default())
            .filter(|endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready) == Some(true))
            .flat_map(|endpoint| endpoint.addresses)
            .collect())
    }

    /// Kills the API server.
    pub fn stop_api(&mut self) {
        self.control.stop();
    }

    /// Starts the API server again, on the same data.
    ///
    /// # Errors
    /// When it does not come back.
    pub async fn start_api(&mut self) -> Result<()> {
        self.control.start_again(&self.node).await
    }

    fn kubeconfig(&self, token: String) -> Kubeconfig {
        Kubeconfig {
            token,
            ..self.control.kubeconfig().clone()
        }
    }

    async fn own_kubeconfig(&self, workload: &Workload) -> Result<Option<String>> {
        if workload.role != Role::Discovery {
            return Ok(None);
        }
        let token = self
            .api()
            .token(workload.namespace, workload.account, None)
            .await?;
        self.kubeconfig(token).yaml().map(Some)
    }

    fn host(&self) -> Host<'_> {
        Host {
            plan: &self.plan,
            peers: &self.peers,
            run: &self.run,
            directory: &self.directory,
            logs: &self.logs,
            node: &self.node,
            bridge: &self.bridge,
            wan: &self.wan,
            api: self.control.api(),
            kubeconfig: self.control.kubeconfig(),
            installed: self.installed.as_ref(),
        }
    }
}

/// The node: the bridge of its pods, a leg on the wan, and the way out for pods,
/// under the node's address.
fn node(plan: &ClusterPlan, run: &str, wan: &Wan) -> Result<(Netns, Bridge)> {
    let node = Netns::create(format!("{run}-{}-node", plan.name))?;
    let bridge = Bridge::create(&node, "pods0", Some(&format!("{NODE_ON_POD_BRIDGE}/24")))?;
    wan.plug(&node, "wan0", plan.node())?;
    node.set("net/ipv4/ip_forward", "1")?;
    let masquerade = [
        "-t",
        "nat",
        "-A",
        "POSTROUTING",
        "-s",
        POD_RANGE,
        "-o",
        "wan0",
    ];
    node.run(
        "iptables",
        &[&masquerade[..], &["-j", "MASQUERADE"]].concat(),
    )?;
    Ok((node, bridge))
}

const AGENT_LIMIT: Duration = Duration::from_secs(15);
const TERMINATION: Duration = Duration::from_secs(30);
