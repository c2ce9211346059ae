//! An API server that is gone takes nothing with it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use scenarios::{
    envoy,
    load::Load,
    probe::eventually,
    report::Report,
    topology::{DISCOVERY_DEBUG_PORT, Workload},
    world::{World, objects::DISCOVERY},
};

use super::setting::{ARRIVAL, HELLOWORLD, Setting, gateway_address, outbound, weighs};

const OUTAGE: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_millis(10);

pub(super) async fn loses_nothing(
    world: &mut World,
    setting: &Setting,
    report: &Report,
) -> Result<()> {
    is_shown(world, "live").await?;
    let load = Load::start(world.cluster("c1").pod("client")?, HELLOWORLD, PACE)?;
    report.when("c2's API server is killed under a request every 10 ms");
    let start = Instant::now();
    world.cluster_mut("c2").stop_api();

    new_sidecar(world, setting, "latecomer").await?;
    report.then("a new sidecar in c1 is told of both clusters all the same");
    is_shown(world, "stale").await?;
    let shown = format!("{:.1} s", start.elapsed().as_secs_f64());
    report.measured("until c1 shows c2 as stale", shown, "6 s and a heartbeat");

    report.when("discovery of c1 crashes and starts again without c2's API server");
    world.cluster_mut("c1").pod_mut(DISCOVERY)?.crash()?;
    new_sidecar(world, setting, "stranger").await?;
    is_shown(world, "stale").await?;
    report.then("a new sidecar is told of both clusters: discovery remembers c2");

    tokio::time::sleep(OUTAGE.saturating_sub(start.elapsed())).await;
    world.cluster_mut("c2").start_api().await?;
    report.when(&format!(
        "c2's API server is back after {:.1} s",
        start.elapsed().as_secs_f64()
    ));
    let back = Instant::now();
    is_shown(world, "live").await?;
    weighs(world, 1, 3).await?;
    let shown = format!("{:.1} s", back.elapsed().as_secs_f64());
    report.measured("until c2 is live and served again", shown, "a reconnect");

    let answers = load.finish().await?;
    let lost = answers.lost();
    ensure!(
        lost.is_empty(),
        "{} lost, the first: {:?}",
        lost.len(),
        lost[0]
    );
    report.then(&format!(
        "none of {} requests was lost ({:?}; the slowest took {:?})",
        answers.len(),
        answers.by_version(),
        answers.slowest()
    ));
    Ok(())
}

/// Starts one more client in c1 and waits for what its sidecar is told: v1's
/// pod and c2's gateway.
async fn new_sidecar(world: &mut World, setting: &Setting, name: &'static str) -> Result<()> {
    let workload = Workload {
        name,
        address: None,
        ..setting.client.clone()
    };
    let gateway = gateway_address(world.cluster("c2"));
    let c1 = world.cluster_mut("c1");
    c1.scale_up(&workload, 1).await?;
    let client = c1.pod(name)?;
    eventually(
        "the new sidecar is told what discovery knows",
        ARRIVAL,
        async || {
            let weights = envoy::weights(client, &outbound("helloworld")).await?;
            let local = weights.keys().any(|address| *address != gateway);
            let told = weights.contains_key(&gateway);
            ensure!(local && told, "it has {weights:?}");
            Ok(())
        },
    )
    .await
}

/// Waits until discovery of c1 shows c2 in this state.
async fn is_shown(world: &World, state: &str) -> Result<()> {
    let discovery = world.cluster("c1").pod(DISCOVERY)?;
    eventually("c1 shows c2's state", ARRIVAL, async || {
        let page = discovery
            .page(DISCOVERY_DEBUG_PORT, "/debug/clusters")
            .await?
            .json()?;
        let clusters = page["clusters"].as_array().context("no list of clusters")?;
        let c2 = clusters.iter().find(|cluster| cluster["cluster"] == "c2");
        let c2 = c2.context("c2 is not listed")?;
        ensure!(c2["state"] == state, "wanted {state}: {c2}");
        Ok(())
    })
    .await
}
