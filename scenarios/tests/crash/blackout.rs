//! With every API server dead, c1's discovery dies too.

use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use scenarios::{
    probe::eventually,
    report::{Report, Took},
    world::{World, objects::DISCOVERY, pod::Pod},
};

use super::{
    pages::{comes_back, dies, readiness, remembers},
    traffic::{Step, Traffic},
};
use crate::{
    newcomer,
    reading::cluster_at,
    setting::{ARCHIVE, ARRIVAL, HELLOWORLD, Setting, weighs},
};

pub(super) async fn is_survived(
    world: &mut World,
    setting: &Setting,
    traffic: &mut Traffic,
    report: &Report,
) -> Result<()> {
    world.cluster_mut("c1").stop_api();
    let dead = SystemTime::now();
    report.when("c1's API server is killed too: all are dead");
    traffic.took(with_memory(world, setting, dead, report).await?);
    traffic.took(without_memory(world, report).await?);
    traffic.took(all_return(world, report).await?);
    Ok(())
}

async fn with_memory(
    world: &mut World,
    setting: &Setting,
    dead: SystemTime,
    report: &Report,
) -> Result<Step> {
    let begun = SystemTime::now();
    report.when("c1's discovery is killed, and started again after a second");
    let discovery = world.cluster_mut("c1").pod_mut(DISCOVERY)?;
    let (_, ready) = dies(discovery).await?;
    let says = readiness(discovery).await?.text.trim().to_owned();
    let named = says == "ready; remembered from before the start: c1, c2";
    ensure!(named, "it says [{says}]");
    let ages = [
        remembers(world, "c1", "c1", dead).await?,
        remembers(world, "c1", "c2", dead).await?,
    ];
    report.then(&format!(
        "after {ready} it says [{says}], of {} and {} ago",
        ages[0], ages[1]
    ));
    let told = fresh_sidecar(world, setting).await?;
    report.then(&format!(
        "a sidecar that starts now has every endpoint after {told}, and reaches both services"
    ));
    Ok(Step {
        fault: "every API server is dead; c1's discovery is killed and started again 1 s later"
            .to_owned(),
        promise: "it serves the full set at once and names what is remembered, each with its \
                  age; a new sidecar gets every endpoint",
        begun,
        ended: SystemTime::now(),
        away: None,
        measured: format!(
            "ready after {ready}; ages {} and {}; new sidecar told after {told}",
            ages[0], ages[1]
        ),
    })
}

/// A new Envoy in a pod that is there already: nobody can register a new one.
async fn fresh_sidecar(world: &mut World, setting: &Setting) -> Result<Took> {
    let start = Instant::now();
    let client = world.cluster_mut("c1").pod_mut("late-1")?;
    client.start_again()?;
    eventually("the new Envoy is ready", ARRIVAL, async || {
        client.is_ready().await
    })
    .await?;
    let client = world.cluster("c1").pod("late-1")?;
    newcomer::is_told_all(world, setting, client).await?;
    let told = Took(start.elapsed());
    answers(client).await?;
    Ok(told)
}

async fn answers(client: &Pod) -> Result<()> {
    for host in [HELLOWORLD, ARCHIVE] {
        let page = client.call(host, "/hello").await?;
        ensure!(page.status == 200, "{host}: {page:?}");
    }
    Ok(())
}

/// Nothing on disk, nobody to ask: it is not ready, says who is missing, and takes nothing
/// from those who know more.
async fn without_memory(world: &mut World, report: &Report) -> Result<Step> {
    let begun = SystemTime::now();
    report.when("it is killed and its snapshot taken away");
    let discovery = world.cluster_mut("c1").pod_mut(DISCOVERY)?;
    discovery.kill();
    let (kept, hidden) = (
        discovery.state().join("snapshot"),
        discovery.state().join("hidden"),
    );
    fs::rename(&kept, &hidden)?;
    discovery.start_again()?;
    let says = eventually("it says who is missing", ARRIVAL, async || {
        discovery.runs()?;
        let page = readiness(discovery).await?;
        ensure!(page.status == 503, "{page:?}");
        Ok(page.text.trim().to_owned())
    })
    .await?;
    ensure!(says == "not ready; not yet known: c1", "it says [{says}]");
    tokio::time::sleep(IGNORANCE).await;
    report.then(&format!("it answers 503: [{says}]"));

    discovery.kill();
    ensure!(!kept.exists(), "it kept that it knows nothing");
    fs::rename(&hidden, &kept)?;
    let started = SystemTime::now();
    let ready = Took(comes_back(discovery).await?.duration_since(started)?);
    report.then(&format!("with its snapshot it is ready after {ready}"));
    Ok(Step {
        fault: "every API server is dead and c1's discovery starts without a snapshot".to_owned(),
        promise: "it is not ready, names what is missing, and takes nothing from any sidecar",
        begun,
        ended: SystemTime::now(),
        away: None,
        measured: format!("503 [{says}]"),
    })
}

async fn all_return(world: &mut World, report: &Report) -> Result<Step> {
    let begun = SystemTime::now();
    try_join_all(
        world
            .clusters_mut()
            .map(async |cluster| cluster.start_api().await),
    )
    .await?;
    let back = Instant::now();
    report.when("both API servers are back");
    for (reader, cluster) in [("c1", "c1"), ("c1", "c2"), ("c2", "c1"), ("c2", "c2")] {
        eventually("all is of now", ARRIVAL, async || {
            let shown = cluster_at(world, reader, cluster).await?;
            let is_of_now = shown["state"] == "live" && shown["remembered"] == false;
            ensure!(is_of_now, "{reader} shows {shown}");
            Ok(())
        })
        .await?;
    }
    weighs(world, 1, 1).await?;
    let took = Took(back.elapsed());
    report.then(&format!("every cluster is live again after {took}"));
    Ok(Step {
        fault: "both API servers come back after all that".to_owned(),
        promise: "every cluster is live again",
        begun,
        ended: SystemTime::now(),
        away: None,
        measured: format!("live after {took}"),
    })
}

/// How long it stays so.
const IGNORANCE: Duration = Duration::from_secs(1);
