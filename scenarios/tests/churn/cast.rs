//! What stands before the story begins, and how to look at it.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use scenarios::{
    crowd::Crowd,
    peers::Peers,
    recorder::Recorder,
    report::Report,
    topology::{
        ClusterPlan, DISCOVERY_DEBUG_PORT, GATEWAY, Role, Workload, XDS_PORT, labels, pod_address,
    },
    usage::Usage,
    world::{
        Cluster, World,
        config::leaf_directory,
        objects::{DISCOVERY, DISCOVERY_NAMESPACE},
        pod::Pod,
        role::{self, DISCOVERY_ADDRESS},
    },
};
use serde_json::Value;

use super::{figures::memory, truth};
use crate::stage::Scene;

/// Services of the crowd.
pub(super) const SERVICES: u16 = 1000;
/// Endpoints of each.
pub(super) const EACH: u8 = 10;
/// Clusters of the crowd as sidecars call them begin so.
pub(super) const PREFIX: &str = "outbound|80||crowd-";

/// How long the last of the crowd may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Who plays.
pub(super) struct Cast {
    pub(super) crowd: Crowd,
    pub(super) recorder: Recorder,
    /// What the crowd takes in memory.
    pub(super) memory: String,
}

/// A time as reports tell it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took(pub(super) Duration);

impl Cast {
    /// One cluster with a discovery, a gateway and an Envoy, and then the crowd, until all
    /// have been told of it.
    pub(super) async fn assemble<'a>(
        peers: &Peers,
        report: &Report,
        scene: &'a mut Scene,
    ) -> Result<(&'a World, Self)> {
        let world = scene.insert(World::start(peers, &[ClusterPlan::numbered(1)]).await?);
        world.share_trust().await?;
        let c1 = world.cluster_mut("c1");
        c1.install_service_exports().await?;
        let client = Workload::new(
            "client",
            "client",
            labels(&[("app", "client")]),
            Role::Client,
        );
        for workload in [role::discovery(), role::gateway(), client] {
            c1.scale_up(&workload, 1).await?;
        }
        let c1 = world.cluster("c1");
        let recorder = record(c1, "recorder", &[])?;
        report.given("a real API server and a real Envoy; our discovery and our gateway");

        let before = [usage(world, DISCOVERY)?, usage(world, GATEWAY)?];
        let start = Instant::now();
        let crowd = Crowd::gather(c1.api(), c1.plan(), SERVICES, EACH).await?;
        let requests = crowd.diary().requests();
        report.given(&format!(
            "{SERVICES} services, {} pods, {SERVICES} slices, by {requests} writes in {}",
            crowd.truth().len(),
            Took(start.elapsed()),
        ));
        let mut cast = Self {
            crowd,
            recorder,
            memory: String::new(),
        };
        let settled = truth::settles(world, &mut cast, ARRIVAL).await?;
        report.given(&format!("all know all endpoints {settled} after the last"));
        let after = [usage(world, DISCOVERY)?, usage(world, GATEWAY)?];
        cast.memory = memory(before, after, report)?;
        Ok((world, cast))
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            millis @ ..10_000 => write!(f, "{millis} ms"),
            millis => write!(f, "{} s", millis / 1000),
        }
    }
}

/// A recorder beside discovery, with a certificate of the account `client`, whose pod says
/// that it is called so.
pub(super) fn record(c1: &Cluster, pod: &str, more: &[&str]) -> Result<Recorder> {
    let door = door(c1, "client", &node("sidecar", pod, "sample"));
    let mut arguments = vec!["record"];
    arguments.extend(door.iter().map(String::as_str));
    arguments.extend(["--prefix", PREFIX]);
    arguments.extend(more);
    Ok(Recorder::new(c1.pod(DISCOVERY)?.spawn(&arguments)?))
}

/// How `world-app` finds discovery, as this account and node.
pub(super) fn door(c1: &Cluster, account: &str, node: &str) -> Vec<String> {
    let credential = leaf_directory(c1.directory(), account);
    let address = format!("{DISCOVERY_ADDRESS}:{XDS_PORT}");
    let expect = c1.plan().identity(DISCOVERY_NAMESPACE, DISCOVERY);
    [
        ("--credential", credential.display().to_string()),
        ("--address", address),
        ("--expect", expect),
        ("--node", node.to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect()
}

/// A node id.
pub(super) fn node(kind: &str, pod: &str, namespace: &str) -> String {
    let address = pod_address(30);
    format!("{kind}~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local")
}

/// What the process of a workload costs.
pub(super) fn usage(world: &World, workload: &str) -> Result<Usage> {
    let pod = world.cluster("c1").pod(workload)?;
    let process = pod.processes().first().context("a pod without a program")?;
    Usage::of(process.id())
}

/// Discovery's metrics.
pub(super) async fn metrics(world: &World) -> Result<String> {
    let page = discovery_pod(world)?.page(DISCOVERY_DEBUG_PORT, "/metrics");
    Ok(page.await?.text)
}

/// How discovery shows the viewer whose pod is called so.
pub(super) async fn viewer(world: &World, pod: &str) -> Result<Value> {
    let page = discovery_pod(world)?.page(DISCOVERY_DEBUG_PORT, "/debug/xds");
    let page = page.await?.json()?;
    let viewers = page["viewers"].as_array().context("no list of viewers")?;
    let found = viewers.iter().find(|viewer| viewer["pod"] == pod);
    found
        .cloned()
        .with_context(|| format!("{pod} is no viewer: {page}"))
}

fn discovery_pod(world: &World) -> Result<&Pod> {
    world.cluster("c1").pod(DISCOVERY)
}
