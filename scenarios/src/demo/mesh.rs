//! The demo's mesh: two clusters in two networks on loopback, joined; with what can be done
//! to it.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
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
        cluster::{Cluster, Ground, Role},
        proxy::Kind,
        world::{World, anchor},
    },
    probe::eventually,
    topology::{ClusterPlan, SYSTEM_NAMESPACE, mesh::MeshPlan},
    world::objects::EXPORT_LABEL,
};

/// What the demo needs to know.
#[derive(Debug, Clone)]
pub struct Order {
    /// What stands; the five things are done to its clusters `c1` and `c2`.
    pub plan: MeshPlan,
    /// What its clusters share.
    pub ground: Ground,
    /// From one request of a client to its next.
    pub pace: Duration,
}

/// The standing mesh.
#[derive(Debug)]
pub struct Mesh {
    members: Vec<Member>,
    world: World,
    sidecars: &'static str,
    start: Instant,
    /// The Secret in c2 to which c1's token is bound, and how many there have been.
    anchor: (String, u32),
}

/// Who looks at a cluster, and who calls from there.
#[derive(Debug)]
struct Member {
    eye: Eye,
    calls: Calls,
}

/// Two clusters in two networks.
#[must_use]
pub fn two_clusters() -> MeshPlan {
    MeshPlan::of([1, 2].map(ClusterPlan::numbered))
}

impl Mesh {
    /// Brings it all up, until c1's client has been answered by every version.
    ///
    /// # Errors
    /// When a part does not come up; an address in use is named.
    pub async fn start(order: &Order) -> Result<Self> {
        let world = World::start(&order.plan, &order.ground).await?;
        let mut members = Vec::new();
        for cluster in world.clusters() {
            members.push(Member::new(cluster, order.pace).await?);
        }
        let mut mesh = Self {
            members,
            world,
            sidecars: match order.ground.sidecars {
                Kind::Envoy(_) => "envoy",
                Kind::Builtin => "builtin",
            },
            start: Instant::now(),
            anchor: (anchor(NEAR), 1),
        };
        mesh.all_answer(order.plan.versions()).await?;
        // What was asked before all stood is no loss.
        mesh.members.iter().for_each(|member| member.calls.forget());
        mesh.start = Instant::now();
        Ok(mesh)
    }

    /// What there is to see now; `event` is shown beside it.
    pub async fn picture(&mut self, event: Option<String>) -> Picture {
        let gateways: Vec<_> = self.world.clusters_mut().map(gateway_process).collect();
        let members = self.members.iter_mut().zip(gateways);
        let views = members.map(|(member, gateway)| member.look(gateway));
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
        let mut all = self.members.iter();
        let member = all.find(|member| member.eye.name() == cluster);
        let member = member.with_context(|| format!("no cluster {cluster}"))?;
        Ok(&member.calls)
    }

    /// A cluster.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn cluster(&self, name: &str) -> Result<&Cluster> {
        self.world.cluster(name)
    }

    /// The world that it stands in.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The same, to be changed.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// The process of c2's gateway, while it runs.
    pub fn gateway_process(&mut self) -> Option<u32> {
        gateway_process(self.world.cluster_mut(FAR).ok()?)
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
        self.world.cluster_mut(FAR)?.process(Role::Gateway)?.kill();
        Ok(killed)
    }

    /// Starts c2's gateway again and waits until it is ready.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn restart_gateway(&mut self) -> Result<()> {
        let cluster = self.world.cluster_mut(FAR)?;
        cluster.start_role(Role::Gateway).await
    }

    /// Puts a new token for c2 into c1's secret, and revokes the one before; says when.
    ///
    /// # Errors
    /// When an API refuses.
    pub async fn renew_token(&mut self) -> Result<SystemTime> {
        let tokens = self.anchor.1 + 1;
        let next = (format!("{}-{tokens}", anchor(NEAR)), tokens);
        let (near, far) = (self.cluster(NEAR)?, self.cluster(FAR)?);
        let kubeconfig = far.reader_kubeconfig(near.slice(), &next.0).await?;
        let patch = json!({ "stringData": { FAR: kubeconfig } });
        let secret = format!("istio-remote-secret-{FAR}");
        let written = SystemTime::now();
        near.api()
            .merge::<Secret>(Some(SYSTEM_NAMESPACE), &secret, &patch)
            .await?;
        // A working token is revoked only when the new one is in use.
        tokio::time::sleep(TAKEN).await;
        let (old, _) = std::mem::replace(&mut self.anchor, next);
        let api = self.cluster(FAR)?.api();
        api.delete::<Secret>(SYSTEM_NAMESPACE, &old, None).await?;
        Ok(written)
    }

    /// Ends everything in order, and waits.
    pub async fn stop(self) {
        drop(self.members);
        self.world.stop().await;
    }

    async fn all_answer(&self, versions: BTreeSet<&str>) -> Result<()> {
        eventually("c1's client is answered by all", ARRIVAL, async || {
            let view = self.calls(NEAR)?.view();
            let split = view.split();
            let all = versions.iter().all(|version| split.contains_key(version));
            ensure!(all, "so far: {split:?}; {:?}", view.last_loss);
            Ok(())
        })
        .await
    }
}

impl Member {
    /// Waits until the cluster's client is ready, and lets it call.
    async fn new(cluster: &Cluster, pace: Duration) -> Result<Self> {
        let (api, slice) = (cluster.api(), cluster.slice());
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
        let pages = (cluster.discovery_pages(), cluster.gateway_metrics());
        Ok(Self {
            eye: Eye::new(cluster.plan(), cluster.api().clone(), pages.0, pages.1),
            calls: Calls::begin(loopback, SERVICE_HOST, pace),
        })
    }

    async fn look(&mut self, gateway: Option<u32>) -> ClusterView {
        let mut view = self.eye.look(gateway).await;
        view.calls = self.calls.view();
        view
    }
}

fn gateway_process(cluster: &mut Cluster) -> Option<u32> {
    let process = cluster.process(Role::Gateway).ok()?;
    process.check().is_ok().then(|| process.id())
}

/// Whose client is watched.
pub const NEAR: &str = "c1";
/// The other one.
pub const FAR: &str = "c2";
const NAMESPACE: &str = "sample";
const SERVICE: &str = "helloworld";
const SERVICE_HOST: &str = "helloworld.sample.svc.cluster.local";
const ARRIVAL: Duration = Duration::from_secs(30);
/// A new token is in use much sooner.
const TAKEN: Duration = Duration::from_secs(1);
