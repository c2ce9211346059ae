//! The world itself: a real API server whose controllers see our pods.

use std::time::Duration;

use anyhow::{Result, ensure};
use scenarios::{
    netns,
    peers::Peers,
    probe::eventually,
    report::Report,
    topology::{ClusterPlan, Role, ServicePlan, Workload, labels},
    world::World,
};

use crate::stage::Scene;

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let world = scene.insert(World::start(peers, &[ClusterPlan::numbered(1)]).await?);
    report.given("a cluster with a real API server");
    let here = || Ok(std::fs::read_link("/proc/thread-self/ns/net")?);
    let (inside, outside) = (here()?, netns::outside(here)?);
    let first = std::fs::read_link("/proc/self/ns/net")?;
    ensure!(
        inside != first && outside == first,
        "{inside:?}, {outside:?}"
    );
    report.then(
        "who tells the story has left the machine's network, and parts are still fetched there",
    );

    let role = Role::Bare { version: "v1" };
    let bare = Workload::new("bare", "helloworld", labels(&[("app", "bare")]), role).at(20);
    let service = ServicePlan::new("bare", &[("app", "bare")], false);
    let cluster = world.cluster_mut("c1");
    cluster.serve(&service).await?;
    cluster.scale_up(&bare, 2).await?;
    report.when("a service and its two pods are created");

    expect_ready(cluster, 2).await?;
    report.then("the controller's EndpointSlice lists both");

    let answer = cluster.pod("bare")?.page(5000, "/hello").await?.json()?;
    ensure!(answer["pod"] == "bare-0", "answered: {answer}");
    report.then("a pod answers in its namespace");

    cluster.scale_down(&bare, 1, Duration::from_secs(1)).await?;
    expect_ready(cluster, 1).await?;
    report.then("a deleted pod leaves the slice");

    cluster.stop_api();
    ensure!(
        cluster.api().ready().await.is_err(),
        "a stopped API server answers"
    );
    cluster.start_api().await?;
    expect_ready(cluster, 1).await?;
    report.then("an API server that was killed comes back with what it knew");
    Ok(())
}

async fn expect_ready(cluster: &scenarios::world::Cluster, count: usize) -> Result<()> {
    eventually(
        "the slice has as many",
        Duration::from_secs(10),
        async || {
            let ready = cluster.ready_addresses("sample", "bare").await?;
            ensure!(ready.len() == count, "ready: {ready:?}");
            Ok(())
        },
    )
    .await
}
