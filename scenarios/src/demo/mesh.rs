//! The demo's mesh: two clusters in two networks on loopback, joined; with what can be done
//! to it.

use std::{
    fs,
    net::IpAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret, Service},
};
use serde_json::json;

use super::{
    calls::Calls,
    eye::{Eye, is_ready},
    picture::{ClusterView, Picture},
};
use crate::{
    loopback::{
        cluster::{Cluster, Ground, Role, deploy, link},
        proxy::Kind,
        slice::Slice,
        wire::Wire,
    },
    probe::eventually,
    topology::{ClusterPlan, SYSTEM_NAMESPACE, ServicePlan, labels},
    world::objects::{self, EXPORT_LABEL},
};

/// What the demo needs to know.
#[derive(Debug, Clone)]
pub struct Order {
    /// What its clusters share.
    pub ground: Ground,
    /// The number of the first cluster's slice of loopback.
    pub first: u8,
    /// From one request of a client to its next.
    pub pace: Duration,
}

/// The standing mesh.
#[derive(Debug)]
pub struct Mesh {
    members: Vec<Member>,
    /// What leads from each cluster to another's API server.
    wires: Vec<Wire>,
    sidecars: &'static str,
    start: Instant,
    tokens: u32,
}

/// A cluster, and who looks at it.
#[derive(Debug)]
struct Member {
    cluster: Cluster,
    eye: Eye,
    calls: Option<Calls>,
}

impl Mesh {
    /// Brings it all up, until c1's client has been answered by both clusters.
    ///
    /// # Errors
    /// When a part does not come up; an address in use is named.
    pub async fn start(order: &Order) -> Result<Self> {
        let plans = plans();
        let slices = slices(order.first, plans.len())?;
        share_trust(&order.ground, &plans)?;
        let starting = plans.iter().zip(&slices).map(|(plan, slice)| {
            let readers: Vec<Slice> = slices.iter().filter(|s| *s != slice).copied().collect();
            async move { Cluster::start(plan.clone(), *slice, &readers, &order.ground).await }
        });
        let mut clusters = try_join_all(starting).await?;
        let wires = join(&clusters).await?;
        try_join_all(clusters.iter_mut().map(Cluster::start_roles)).await?;
        try_join_all(clusters.iter().map(populate)).await?;
        let members = clusters.into_iter().map(Member::new).collect();
        let mut mesh = Self {
            members,
            wires,
            sidecars: match order.ground.sidecars {
                Kind::Envoy(_) => "envoy",
                Kind::Builtin => "builtin",
            },
            start: Instant::now(),
            tokens: 1,
        };
        for member in &mut mesh.members {
            member.begin_calls(order.pace).await?;
        }
        mesh.both_answer().await?;
        // What was asked before all stood is no loss.
        mesh.members
            .iter()
            .filter_map(|member| member.calls.as_ref())
            .for_each(Calls::forget);
        mesh.start = Instant::now();
        Ok(mesh)
    }

    /// What there is to see now; `event` is shown beside it.
    pub async fn picture(&mut self, event: Option<String>) -> Picture {
        let views = self.members.iter_mut().map(Member::look);
        let clusters = futures::future::join_all(views).await;
        Picture {
            at_ms: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            sidecars: self.sidecars,
            clusters,
            event,
        }
    }

    /// The clients of a cluster.
    ///
    /// # Errors
    /// When it has none.
    pub fn calls(&self, cluster: &str) -> Result<&Calls> {
        let member = self.member(cluster)?;
        member.calls.as_ref().context("its client does not call")
    }

    /// A cluster.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn cluster(&self, name: &str) -> Result<&Cluster> {
        Ok(&self.member(name)?.cluster)
    }

    /// The process of c2's gateway, while it runs.
    pub fn gateway_process(&mut self) -> Option<u32> {
        let member = self.members.last_mut()?;
        member.gateway_process()
    }

    /// Makes `helloworld-v2` of c2 have so many pods; says when it was written.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn scale(&self, replicas: u32) -> Result<SystemTime> {
        let patch = json!({ "spec": { "replicas": replicas } });
        let written = SystemTime::now();
        let api = self.cluster(FAR)?.api();
        api.merge::<Deployment>(Some(NAMESPACE), "helloworld-v2", &patch)
            .await?;
        Ok(written)
    }

    /// Marks `helloworld` of c2 for other clusters, or removes the mark; says when it was
    /// written.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn export(&self, open: bool) -> Result<SystemTime> {
        let mark = open.then_some("true");
        let patch = json!({ "metadata": { "labels": { EXPORT_LABEL: mark } } });
        let written = SystemTime::now();
        let api = self.cluster(FAR)?.api();
        api.merge::<Service>(Some(NAMESPACE), SERVICE, &patch)
            .await?;
        Ok(written)
    }

    /// c2's API server says nothing any more, or speaks again.
    ///
    /// # Errors
    /// Never while c2 stands.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let server = self.cluster(FAR)?.server();
        match frozen {
            true => server.freeze(),
            false => server.thaw(),
        }
        Ok(())
    }

    /// Kills c2's gateway as a crash would; says when.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_gateway(&mut self) -> Result<SystemTime> {
        let killed = SystemTime::now();
        self.member_mut(FAR)?.cluster.process(Role::Gateway)?.kill();
        Ok(killed)
    }

    /// Starts c2's gateway again and waits until it is ready.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn restart_gateway(&mut self) -> Result<()> {
        let cluster = &mut self.member_mut(FAR)?.cluster;
        cluster.start_role(Role::Gateway).await
    }

    /// Puts a new token for c2 into c1's secret, and revokes the one before; says when.
    ///
    /// # Errors
    /// When an API refuses.
    pub async fn renew_token(&mut self) -> Result<SystemTime> {
        let old = anchor(self.tokens);
        self.tokens += 1;
        let (near, far) = (self.cluster(NEAR)?, self.cluster(FAR)?);
        let kubeconfig = far
            .reader_kubeconfig(near.slice(), &anchor(self.tokens))
            .await?;
        let patch = json!({ "stringData": { FAR: kubeconfig } });
        let secret = format!("istio-remote-secret-{FAR}");
        let written = SystemTime::now();
        near.api()
            .merge::<Secret>(Some(SYSTEM_NAMESPACE), &secret, &patch)
            .await?;
        // A working token is revoked only when the new one is in use.
        tokio::time::sleep(TAKEN).await;
        far.api()
            .delete::<Secret>(SYSTEM_NAMESPACE, &old, None)
            .await?;
        Ok(written)
    }

    /// Ends everything in order, and waits.
    pub async fn stop(self) {
        for member in self.members {
            drop(member.calls);
            member.cluster.stop().await;
        }
        for wire in self.wires {
            wire.remove().await;
        }
    }

    async fn both_answer(&self) -> Result<()> {
        eventually("c1's client is answered by both", ARRIVAL, async || {
            let view = self.calls(NEAR)?.view();
            let split = view.split();
            let both = split.contains_key("v1") && split.contains_key("v2");
            ensure!(both, "so far: {split:?}; {:?}", view.last_loss);
            Ok(())
        })
        .await
    }

    fn member(&self, name: &str) -> Result<&Member> {
        let mut members = self.members.iter();
        members
            .find(|member| member.cluster.plan().name == name)
            .with_context(|| format!("no cluster {name}"))
    }

    fn member_mut(&mut self, name: &str) -> Result<&mut Member> {
        let mut members = self.members.iter_mut();
        members
            .find(|member| member.cluster.plan().name == name)
            .with_context(|| format!("no cluster {name}"))
    }
}

impl Member {
    fn new(cluster: Cluster) -> Self {
        let discovery = cluster.discovery_pages();
        let gateway = cluster.gateway_metrics();
        Self {
            eye: Eye::new(cluster.plan(), cluster.api().clone(), discovery, gateway),
            cluster,
            calls: None,
        }
    }

    async fn look(&mut self) -> ClusterView {
        let gateway = self.gateway_process();
        let mut view = self.eye.look(gateway).await;
        view.calls = self.calls.as_ref().map(Calls::view).unwrap_or_default();
        view
    }

    fn gateway_process(&mut self) -> Option<u32> {
        let process = self.cluster.process(Role::Gateway).ok()?;
        process.check().is_ok().then(|| process.id())
    }

    /// Waits for the client's pod, and lets it call.
    async fn begin_calls(&mut self, pace: Duration) -> Result<()> {
        let (api, slice) = (self.cluster.api(), self.cluster.slice());
        let address = eventually("the client's pod is ready", ARRIVAL, async || {
            let pods: Vec<Pod> = api.list(NAMESPACE, "app=client").await?;
            let pod = pods.iter().find(|pod| is_ready(pod)).context("it is not")?;
            let status = pod.status.as_ref();
            let address = status.and_then(|status| status.pod_ip.as_deref());
            let address: IpAddr = address.context("it has no address")?.parse()?;
            Ok(address)
        })
        .await?;
        let loopback = slice.inside(address).context("not a pod's address")?;
        self.calls = Some(Calls::begin(loopback, SERVICE_HOST, pace));
        Ok(())
    }
}

/// What leads from each cluster to each other's API server, and the secrets that say so.
async fn join(clusters: &[Cluster]) -> Result<Vec<Wire>> {
    let mut wires = Vec::new();
    for reader in clusters {
        let others = clusters
            .iter()
            .filter(|peer| peer.slice() != reader.slice());
        for peer in others {
            let from = peer.slice().api_from(reader.slice());
            wires.push(Wire::lay(from, peer.slice().api()).await?);
            let anchor = match reader.plan().name {
                NEAR => anchor(1),
                other => format!("token-of-{other}"),
            };
            let kubeconfig = peer.reader_kubeconfig(reader.slice(), &anchor).await?;
            link(reader, peer.plan().name, &kubeconfig).await?;
        }
    }
    Ok(wires)
}

/// The application of a cluster: v1 in c1, v2 in c2, and a client in each.
async fn populate(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let service = ServicePlan {
        name: SERVICE,
        namespace: NAMESPACE,
        selector: labels(&[("app", SERVICE)]),
        exported: true,
    };
    api.create::<Service>(objects::service(&service)).await?;
    let version = if cluster.plan().name == NEAR {
        "v1"
    } else {
        "v2"
    };
    let name = format!("{SERVICE}-{version}");
    let marks = labels(&[("app", SERVICE), ("version", version)]);
    let image = format!("{SERVICE}:{version}");
    deploy(api, &name, SERVICE, &marks, &image, 1).await?;
    let marks = labels(&[("app", "client")]);
    deploy(api, "client", "client", &marks, "client", 1).await
}

/// One root, an intermediate for each cluster.
fn share_trust(ground: &Ground, plans: &[ClusterPlan]) -> Result<()> {
    fs::create_dir_all(&ground.directory)?;
    let root = ground.directory.join("root").display().to_string();
    run(
        &ground.isthmus,
        &[
            "trust",
            "init",
            "--out",
            &root,
            "--trust-domain",
            TRUST_DOMAIN,
        ],
    )?;
    for plan in plans {
        let out = ground
            .directory
            .join(plan.name)
            .join("ca")
            .display()
            .to_string();
        let arguments = [
            "trust",
            "intermediate",
            "--ca",
            &root,
            "--cluster",
            plan.name,
        ];
        run(
            &ground.isthmus,
            &[&arguments[..], &["--out", &out]].concat(),
        )?;
    }
    Ok(())
}

fn run(isthmus: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new(isthmus).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = arguments.join(" ");
    ensure!(output.status.success(), "isthmus {line}: {}", said.trim());
    Ok(())
}

fn slices(first: u8, count: usize) -> Result<Vec<Slice>> {
    let numbers = (0..count).map(|index| u8::try_from(index).ok()?.checked_add(first));
    let slices = numbers.map(|number| Slice::new(number?));
    let slices: Option<Vec<Slice>> = slices.collect();
    slices.with_context(|| format!("slices are numbered 1 to 99, {count} from {first} on are not"))
}

fn plans() -> [ClusterPlan; 2] {
    let plan = |name, network, region, zone, number| ClusterPlan {
        name,
        network,
        trust_domain: TRUST_DOMAIN,
        region,
        zone,
        number,
    };
    [
        plan(NEAR, "network1", "north", "north-a", 1),
        plan(FAR, "network2", "south", "south-a", 2),
    ]
}

fn anchor(number: u32) -> String {
    format!("token-{number}")
}

/// Whose client is watched.
pub const NEAR: &str = "c1";
/// The other one.
pub const FAR: &str = "c2";
const TRUST_DOMAIN: &str = "mesh.example";
const NAMESPACE: &str = "sample";
const SERVICE: &str = "helloworld";
const SERVICE_HOST: &str = "helloworld.sample.svc.cluster.local";
const ARRIVAL: Duration = Duration::from_secs(30);
/// A new token is in use much sooner.
const TAKEN: Duration = Duration::from_secs(1);
