//! One embedded cluster on loopback: its API server in this process, our roles as processes
//! of their own, its pods here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret, Service},
};
use serde_json::{Value, json};

use super::{
    host::Host,
    proxy::{self, Workshop},
    slice::Slice,
    wire::Wire,
};
use crate::{
    apiserver::{ApiServer, ApiServerConfig},
    probe::{eventually, get_here},
    process::{Process, Program},
    topology::{
        APP_PORT, ClusterPlan, DISCOVERY_DEBUG_PORT, GATEWAY, MESH_PORT, SYSTEM_NAMESPACE, in_mesh,
        mesh::{DeploymentPlan, MemberPlan, MeshPlan},
    },
    world::{
        api::Api,
        config::{GatewayListen, Site, leaf_directory},
        furniture::{self, ACCOUNTS},
        kubeconfig::Kubeconfig,
        objects::{self, DISCOVERY, DISCOVERY_NAMESPACE},
        role,
    },
};

/// A standing cluster.
#[derive(Debug)]
pub struct Cluster {
    roles: BTreeMap<Role, Process>,
    planned: BTreeSet<Role>,
    /// Where its proxies find their discovery.
    xds: SocketAddr,
    server: ApiServer,
    entrance: Wire,
    plan: ClusterPlan,
    slice: Slice,
    isthmus: PathBuf,
    directory: PathBuf,
    logs: PathBuf,
}

/// What the clusters of a world share.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The command `isthmus`, that runs our roles.
    pub isthmus: PathBuf,
    /// Where files go, logs in `log`; made where it is not there.
    pub directory: PathBuf,
    /// What stands beside applications.
    pub sidecars: proxy::Kind,
    /// The number of the slice of loopback of the cluster of number 1; the others follow.
    pub first: u8,
}

impl Ground {
    /// The slice of a cluster.
    ///
    /// # Errors
    /// When there is none of its number.
    pub fn slice(&self, plan: &ClusterPlan) -> Result<Slice> {
        let number = plan.number.checked_add(self.first);
        let slice = number.and_then(|after| Slice::new(after.checked_sub(1)?));
        slice.with_context(|| {
            let (name, number, first) = (&plan.name, plan.number, self.first);
            format!("slices are numbered 1 to 99: {name}, number {number} from {first} on, is not")
        })
    }

    /// Where the proxies of a member find the discovery that serves it.
    fn xds(&self, member: &MemberPlan, mesh: &MeshPlan) -> Result<SocketAddr> {
        let slice = self.slice(&member.cluster)?;
        if member.serves_itself() {
            return Ok(slice.xds());
        }
        let mut clusters = mesh.clusters();
        let server = clusters.find(|cluster| cluster.name == member.served_by);
        let server = server.with_context(|| format!("no cluster {}", member.served_by))?;
        Ok(self.slice(server)?.xds_from(slice))
    }
}

/// Our own processes in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Certificates for all accounts.
    Trust,
    /// Discovery.
    Discovery,
    /// The gateway.
    Gateway,
}

impl Cluster {
    /// Brings up the API server and what every cluster of a mesh has, for a member of `mesh`.
    ///
    /// # Errors
    /// When an address cannot be had (it is named), or the API refuses.
    pub async fn start(member: &MemberPlan, mesh: &MeshPlan, ground: &Ground) -> Result<Self> {
        let plan = member.cluster.clone();
        let slice = ground.slice(&plan)?;
        let xds = ground.xds(member, mesh)?;
        let readers = mesh.members.iter().filter(|m| m.serves_itself());
        let readers = readers.map(|reader| Ok(slice.api_from(ground.slice(&reader.cluster)?).ip()));
        let directory = ground.directory.join(&plan.name);
        fs::create_dir_all(&directory)?;
        let logs = ground.directory.join("log");
        fs::create_dir_all(&logs)?;
        let workshop = Workshop {
            kind: ground.sidecars.clone(),
            isthmus: ground.isthmus.clone(),
            directory: directory.clone(),
            logs: logs.clone(),
            cluster: plan.name.clone(),
            discovery: xds,
        };
        let host = Host::new(plan.clone(), slice, workshop);
        let server = ApiServer::start(ApiServerConfig {
            address: slice.api(),
            names: readers.collect::<Result<_>>()?,
            kubelet: Some(Arc::new(host)),
            node_labels: plan.node_labels(),
            ..ApiServerConfig::new(&plan.name)
        })
        .await?;
        let entrance = Wire::lay(slice.gateway_from_outside(), slice.gateway()).await?;
        let cluster = Self {
            roles: BTreeMap::new(),
            planned: roles(member),
            xds,
            server,
            entrance,
            plan,
            slice,
            isthmus: ground.isthmus.clone(),
            directory,
            logs,
        };
        furniture::bring(cluster.api(), &cluster.plan).await?;
        fs::write(
            cluster.kubeconfig_path(),
            cluster.server.kubeconfig().yaml()?,
        )?;
        Ok(cluster)
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &ClusterPlan {
        &self.plan
    }

    /// Its addresses.
    #[must_use]
    pub fn slice(&self) -> Slice {
        self.slice
    }

    /// Its API server, with the faults that it can have.
    #[must_use]
    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// A client of it that may do everything.
    #[must_use]
    pub fn api(&self) -> &Api {
        self.server.admin()
    }

    /// What leads to its gateway from outside.
    #[must_use]
    pub fn entrance(&self) -> &Wire {
        &self.entrance
    }

    /// Where its files are; its CA has to lie in `ca`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The kubeconfig of somebody who may do everything.
    #[must_use]
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.directory.with_extension("yaml")
    }

    /// A process of ours.
    ///
    /// # Errors
    /// When it was not started.
    pub fn process(&mut self, role: Role) -> Result<&mut Process> {
        let name = &self.plan.name;
        self.roles
            .get_mut(&role)
            .with_context(|| format!("{name} runs no {role:?}"))
    }

    /// Starts the trust agent, and discovery and the gateway where the plan has them, and
    /// waits until all are ready.
    ///
    /// # Errors
    /// When one is not in time, with the end of its log.
    pub async fn start_roles(&mut self) -> Result<()> {
        self.spawn(Role::Trust)?;
        self.has_leaves().await?;
        if self.planned.contains(&Role::Gateway) {
            self.serve_gateway().await?;
        }
        for role in [Role::Discovery, Role::Gateway] {
            if self.planned.contains(&role) {
                self.start_role(role).await?;
            }
        }
        Ok(())
    }

    /// Starts one of our processes, anew where it ran, and waits until it is ready.
    ///
    /// # Errors
    /// When it is not in time, with the end of its log.
    pub async fn start_role(&mut self, role: Role) -> Result<()> {
        if role == Role::Discovery {
            self.write_own_kubeconfig().await?;
        }
        self.spawn(role)?;
        let Some(address) = self.readiness(role) else {
            return Ok(());
        };
        let process = self.process(role)?;
        eventually("the role is ready", READY, async || {
            process.check()?;
            let page = get_here(address, "/healthz/ready").await?;
            ensure!(page.status == 200, "{}", page.text);
            Ok(())
        })
        .await
    }

    /// Where a role says whether it is ready.
    #[must_use]
    pub fn readiness(&self, role: Role) -> Option<SocketAddr> {
        let port = match role {
            Role::Trust => return None,
            Role::Discovery => DISCOVERY_DEBUG_PORT,
            Role::Gateway => READINESS,
        };
        Some(self.beside(role, port))
    }

    /// Where discovery shows its pages.
    #[must_use]
    pub fn discovery_pages(&self) -> SocketAddr {
        self.beside(Role::Discovery, DISCOVERY_DEBUG_PORT)
    }

    /// Where the gateway shows its debug pages.
    #[must_use]
    pub fn gateway_debug(&self) -> SocketAddr {
        self.beside(Role::Gateway, DEBUG)
    }

    /// Where the gateway shows its metrics.
    #[must_use]
    pub fn gateway_metrics(&self) -> SocketAddr {
        self.beside(Role::Gateway, METRICS)
    }

    /// A kubeconfig with a token of the reader's account, for the cluster of slice `from`;
    /// the token ends when the Secret `anchor` is deleted.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn reader_kubeconfig(&self, from: Slice, anchor: &str) -> Result<String> {
        let token = furniture::bound_token(self.api(), anchor).await?;
        let kubeconfig = Kubeconfig {
            server: format!("https://{}", self.slice.api_from(from)),
            token,
            ..self.server.kubeconfig().clone()
        };
        kubeconfig.yaml()
    }

    /// Ends everything in order, and waits.
    pub async fn stop(mut self) {
        for role in [Role::Gateway, Role::Discovery, Role::Trust] {
            if let Some(mut process) = self.roles.remove(&role) {
                // What does not end in time is killed.
                let _ = process.stop(STOP).await;
            }
        }
        self.server.stop().await;
        self.entrance.remove().await;
    }

    fn spawn(&mut self, role: Role) -> Result<()> {
        let (name, config) = match role {
            Role::Trust => (
                "trust",
                role::agent_config(&self.plan, &self.directory, ACCOUNTS),
            ),
            Role::Discovery => ("discovery", self.discovery_config()),
            Role::Gateway => ("eastwest", self.gateway_config()),
        };
        let file = self.directory.join(format!("{name}.json"));
        fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
        let mut arguments = vec![name.to_owned()];
        if role == Role::Trust {
            arguments.push("sds".to_owned());
        }
        arguments.extend(["--config".to_owned(), file.display().to_string()]);
        let program = Program::new(name, &self.isthmus, arguments).ending_with_us();
        let log = self.logs.join(format!("{}-{name}.log", self.plan.name));
        // The one before, if any, ends first: it has the addresses.
        self.roles.remove(&role);
        self.roles.insert(role, Process::start_here(program, log)?);
        Ok(())
    }

    async fn has_leaves(&mut self) -> Result<()> {
        let directory = self.directory.clone();
        let agent = self.process(Role::Trust)?;
        eventually("every account has a certificate", READY, async || {
            agent.check()?;
            for (_, account) in ACCOUNTS {
                let leaf = leaf_directory(&directory, account);
                ensure!(leaf.join("root-cert.pem").exists(), "no leaf for {account}");
                let socket = role::secrets_socket(&directory, account);
                ensure!(socket.exists(), "no socket for {account}");
            }
            Ok(())
        })
        .await
    }

    /// The gateway's Service, with the address that a load balancer would have given it.
    async fn serve_gateway(&self) -> Result<()> {
        let api = self.api();
        api.create::<Service>(objects::gateway_service(&self.plan))
            .await?;
        let address = self.slice.gateway_from_outside().ip();
        let status = json!({ "loadBalancer": { "ingress": [{ "ip": address }] } });
        api.set_status::<Service>(SYSTEM_NAMESPACE, GATEWAY, status)
            .await?;
        Ok(())
    }

    async fn write_own_kubeconfig(&self) -> Result<()> {
        let token = self
            .api()
            .token(DISCOVERY_NAMESPACE, DISCOVERY, None)
            .await?;
        let kubeconfig = Kubeconfig {
            token,
            ..self.server.kubeconfig().clone()
        };
        Ok(fs::write(self.own_kubeconfig(), kubeconfig.yaml()?)?)
    }

    fn own_kubeconfig(&self) -> PathBuf {
        self.directory.join("discovery.kubeconfig")
    }

    fn discovery_config(&self) -> Value {
        let debug = self.beside(Role::Discovery, DISCOVERY_DEBUG_PORT);
        let range = self.slice.range();
        let mut config = self
            .site("discovery")
            .discovery(&self.own_kubeconfig(), debug);
        config["import"]["ownRanges"] = json!([range]);
        config
    }

    fn gateway_config(&self) -> Value {
        let listen = GatewayListen {
            mesh: self.beside(Role::Gateway, MESH_PORT),
            readiness: self.beside(Role::Gateway, READINESS),
            metrics: self.beside(Role::Gateway, METRICS),
            debug: self.beside(Role::Gateway, DEBUG),
        };
        let pod = format!("{GATEWAY}-0");
        let address = self.slice.gateway().ip();
        self.site("eastwest").gateway(&pod, address, &listen)
    }

    fn site(&self, role: &str) -> Site {
        Site {
            plan: self.plan.clone(),
            cluster: self.directory.clone(),
            directory: self.directory.join(role),
            xds: self.xds,
            on_loopback: true,
        }
    }

    fn beside(&self, role: Role, port: u16) -> SocketAddr {
        let address: IpAddr = match role {
            Role::Gateway => self.slice.gateway().ip(),
            Role::Discovery | Role::Trust => self.slice.xds().ip(),
        };
        SocketAddr::new(address, port)
    }
}

/// Which of our processes run in a member.
fn roles(member: &MemberPlan) -> BTreeSet<Role> {
    let discovery = member.serves_itself().then_some(Role::Discovery);
    let gateway = member.gateway.then_some(Role::Gateway);
    [Some(Role::Trust), discovery, gateway]
        .into_iter()
        .flatten()
        .collect()
}

/// Writes a Deployment, as `kubectl apply` would; sidecars come to its pods.
///
/// # Errors
/// When the API refuses.
pub async fn deploy(api: &Api, plan: &DeploymentPlan) -> Result<()> {
    let labels = &plan.labels;
    let mut all = labels.clone();
    all.extend(in_mesh(&[]));
    api.create::<Deployment>(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": plan.name, "namespace": "sample", "labels": labels },
        "spec": {
            "replicas": plan.replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": all },
                "spec": {
                    "serviceAccountName": plan.account,
                    "terminationGracePeriodSeconds": 5,
                    "containers": [{
                        "name": "app",
                        "image": plan.image,
                        "ports": [{ "name": "http", "containerPort": APP_PORT }],
                    }],
                },
            },
        },
    }))
    .await
}

/// Gives `reader` the remote secret of a peer.
///
/// # Errors
/// When the API refuses.
pub async fn link(reader: &Cluster, peer: &str, kubeconfig: &str) -> Result<()> {
    let secret = objects::remote_secret(peer, kubeconfig);
    reader.api().create::<Secret>(secret).await
}

const READINESS: u16 = 15021;
const METRICS: u16 = 15020;
const DEBUG: u16 = 15000;
const READY: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(5);
