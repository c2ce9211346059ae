//! What stands before the story begins.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use scenarios::{
    envoy,
    peers::Peers,
    probe::eventually,
    report::Report,
    topology::{ClusterPlan, MESH_PORT, Role, ServicePlan, Workload, in_mesh},
    world::{Cluster, World, pod::Pod, role},
};

use crate::stage::Scene;

/// The service that both clusters have.
pub(crate) const HELLOWORLD: &str = "helloworld.sample.svc.cluster.local";
/// The service that only c2 has.
pub(crate) const ARCHIVE: &str = "archive.sample.svc.cluster.local";
/// Its SNI between networks.
pub(crate) const HELLOWORLD_SNI: &str = "outbound_.80_._.helloworld.sample.svc.cluster.local";
/// Who a sidecar must find behind `helloworld`.
pub(crate) const HELLOWORLD_ID: &str = "spiffe://mesh.example/ns/sample/sa/helloworld";
/// Who calls.
pub(crate) const CLIENT_ID: &str = "spiffe://mesh.example/ns/sample/sa/client";
/// How long configuration may take to arrive before a step fails for it.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(20);

/// The workloads of the story.
pub(crate) struct Setting {
    pub(crate) v1: Workload,
    pub(crate) v2: Workload,
    /// What v2 is rolled over to.
    pub(crate) v2_next: Workload,
    pub(crate) client: Workload,
    other: Workload,
    gateway: Workload,
    discovery: Workload,
}

impl Setting {
    pub(crate) fn new() -> Self {
        let hello = |name, app, version| {
            let pairs = [("app", app), ("version", version)];
            Workload::new(name, app, in_mesh(&pairs), Role::Hello { version })
        };
        let client = in_mesh(&[("app", "client")]);
        Self {
            v1: hello("helloworld-v1", "helloworld", "v1").at(20),
            // c2's first pod has the address that `other` has in c1.
            v2: hello("helloworld-v2", "helloworld", "v2").at(50),
            v2_next: hello("helloworld-v2-next", "helloworld", "v2"),
            other: hello("other", "other", "other").at(50),
            client: Workload::new("client", "client", client, Role::Client).at(30),
            gateway: role::gateway(),
            discovery: role::discovery(),
        }
    }

    /// Two clusters that know one another, with their workloads, until the
    /// client in c1 has been told of both.
    pub(crate) async fn build<'a>(
        &self,
        peers: &Peers,
        report: &Report,
        scene: &'a mut Scene,
    ) -> Result<&'a mut World> {
        let world = scene.insert(World::start(peers, &[1, 2].map(ClusterPlan::numbered)).await?);
        report.given("two clusters, two networks, one pod range, real API servers");
        world.share_trust().await?;
        world.exchange_secrets().await?;
        world.cluster("c2").install_service_exports().await?;
        report.given("one root, an intermediate and a trust agent for each; remote secrets");

        try_join_all(world.clusters_mut().map(|cluster| self.mesh(cluster))).await?;
        report.given("a discovery, a gateway and a client in each");

        let c1 = world.cluster_mut("c1");
        c1.serve(&ServicePlan::new("other", &[("app", "other")], false))
            .await?;
        c1.scale_up(&self.v1, 1).await?;
        c1.scale_up(&self.other, 1).await?;
        let c2 = world.cluster_mut("c2");
        c2.serve(&ServicePlan::new("archive", &[("version", "v2")], false))
            .await?;
        c2.export_by_object("sample", "archive").await?;
        c2.scale_up(&self.v2, 1).await?;
        report.given("helloworld v1 in c1, v2 in c2, each behind a real Envoy");

        weighs(world, 1, 1).await?;
        Ok(world)
    }

    /// What every member cluster has.
    async fn mesh(&self, cluster: &mut Cluster) -> Result<()> {
        let helloworld = ServicePlan::new("helloworld", &[("app", "helloworld")], true);
        cluster.serve_gateway().await?;
        cluster.serve(&helloworld).await?;
        for workload in [&self.discovery, &self.gateway, &self.client] {
            cluster.scale_up(workload, 1).await?;
        }
        Ok(())
    }
}

/// Waits until the sidecar of c1's client weighs `here` against `there`.
pub(crate) async fn weighs(world: &World, here: u32, there: u32) -> Result<()> {
    let gateway = gateway_address(world.cluster("c2"));
    let client = world.cluster("c1").pod("client")?;
    eventually(
        "the client's sidecar has both clusters' weights",
        ARRIVAL,
        async || {
            let weights = envoy::weights(client, &outbound("helloworld")).await?;
            let remote = weights.get(&gateway).copied().unwrap_or_default();
            let local: u32 = weights.values().sum::<u32>() - remote;
            ensure!(
                local > 0 && remote > 0 && local * there == remote * here,
                "wanted {here}:{there}, has {weights:?}"
            );
            Ok(())
        },
    )
    .await
}

/// Waits until the sidecar of `client` has been told of these endpoints only.
pub(crate) async fn knows(client: &Pod, service: &str, addresses: &[String]) -> Result<()> {
    eventually("the sidecar has these endpoints", ARRIVAL, async || {
        let weights = envoy::weights(client, &outbound(service)).await?;
        let known: Vec<&String> = weights.keys().collect();
        ensure!(
            known == addresses.iter().collect::<Vec<_>>(),
            "has {weights:?}"
        );
        Ok(())
    })
    .await
}

/// Where other networks find a cluster.
pub(crate) fn gateway_address(cluster: &Cluster) -> String {
    format!("{}:{MESH_PORT}", cluster.plan().gateway())
}

/// The name of a sidecar's cluster.
pub(crate) fn outbound(service: &str) -> String {
    format!("outbound|80||{service}.sample.svc.cluster.local")
}
