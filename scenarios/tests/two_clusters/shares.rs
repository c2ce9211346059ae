//! Requests are shared by the number of pods, wherever they are.

use anyhow::{Result, ensure};
use scenarios::{load::Answers, report::Report, world::World};

use crate::{
    helloworld::{is_shared, v2_sees_it_as},
    setting::{CLIENT_ID, HELLOWORLD, Setting, weighs},
};

pub(super) async fn follow_the_pods(
    world: &mut World,
    setting: &Setting,
    report: &Report,
) -> Result<()> {
    report.when("a client in c1 sends 2,000 requests, each with a nonce of its own");
    is_shared(world, 0.5, 1, report).await?;

    report.when("v2 gets two more pods");
    world.cluster_mut("c2").scale_up(&setting.v2, 3).await?;
    weighs(world, 1, 3).await?;
    is_shared(world, 0.75, 1, report).await?;
    is_shared(world, 0.75, 8, report).await?;
    every_pod_serves(world).await?;
    report.then("each of its three pods answers");

    let client = world.cluster("c1").pod("client")?;
    v2_sees_it_as(client, CLIENT_ID, ("c1", "c2"), world).await?;
    report.then(&format!("v2 sees {CLIENT_ID}, signed by c1's intermediate"));
    Ok(())
}

/// Connections, not requests, are what a gateway shares out: it takes several to
/// reach every pod behind it.
async fn every_pod_serves(world: &World) -> Result<()> {
    let client = world.cluster("c1").pod("client")?;
    let answers = Answers::of_requests(client, HELLOWORLD, 200, 12).await?;
    let by_pod = answers.by_pod();
    for pod in world.cluster("c2").pods_of("helloworld-v2") {
        ensure!(
            by_pod.contains_key(pod.name()),
            "{} never answered: {by_pod:?}",
            pod.name()
        );
    }
    Ok(())
}
