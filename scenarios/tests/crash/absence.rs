//! With c2's API server dead, our processes die one by one and all together.

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use scenarios::{
    probe::eventually,
    report::{Report, Took},
    topology::GATEWAY,
    world::{World, objects::DISCOVERY},
};

use super::{
    pages::{comes_back, dies, gateway, is_kept, remembers},
    traffic::{Step, Traffic},
};
use crate::{
    newcomer,
    setting::{ARRIVAL, Setting},
};

pub(super) async fn loses_only_its_own_time(
    world: &mut World,
    setting: &Setting,
    traffic: &mut Traffic,
    report: &Report,
) -> Result<()> {
    is_kept(world).await?;
    world.cluster_mut("c2").stop_api();
    let dead = SystemTime::now();
    report.when("c2's API server is killed, and stays dead");
    traffic.took(discovery_dies(world, setting, dead, report).await?);
    traffic.took(gateway_dies(world, setting, report).await?);
    traffic.took(all_die(world, setting, dead, report).await?);
    Ok(())
}

async fn discovery_dies(
    world: &mut World,
    setting: &Setting,
    dead: SystemTime,
    report: &Report,
) -> Result<Step> {
    let begun = SystemTime::now();
    report.when("c1's discovery is killed, and started again after a second");
    let discovery = world.cluster_mut("c1").pod_mut(DISCOVERY)?;
    let (_, ready) = dies(discovery).await?;
    let age = remembers(world, "c1", "c2", dead).await?;
    report.then(&format!(
        "it is ready after {ready}, and remembers c2 of {age} ago"
    ));
    let told = Took(newcomer::arrives(world, setting, "late-1").await?);
    report.then(&format!(
        "a sidecar that starts now has every endpoint after {told}"
    ));
    Ok(Step {
        fault: "c1's discovery is killed and started again 1 s later, c2's API server being dead"
            .to_owned(),
        promise: "it serves c2 from disk, marked with its age; a new sidecar gets every endpoint",
        begun,
        ended: SystemTime::now(),
        away: None,
        measured: format!("ready after {ready}; c2's age {age}; new sidecar told after {told}"),
    })
}

async fn gateway_dies(world: &mut World, setting: &Setting, report: &Report) -> Result<Step> {
    let begun = SystemTime::now();
    report.when("c2's gateway is killed, and started again after a second");
    let pod = world.cluster_mut("c2").pod_mut(GATEWAY)?;
    let (away, ready) = dies(pod).await?;
    let told = Took(newcomer::arrives(world, setting, "late-2").await?);
    report.then(&format!(
        "it is ready after {ready}; a sidecar that starts now has every endpoint after {told}"
    ));
    Ok(Step {
        fault: "c2's gateway is killed and started again 1 s later, c2's API server being dead"
            .to_owned(),
        promise: "it serves its last table at once; a new sidecar gets every endpoint",
        begun,
        ended: SystemTime::now(),
        away: Some(away),
        measured: format!("ready after {ready}; new sidecar told after {told}"),
    })
}

async fn all_die(
    world: &mut World,
    setting: &Setting,
    dead: SystemTime,
    report: &Report,
) -> Result<Step> {
    let begun = SystemTime::now();
    report.when("both discoveries and c2's gateway are killed; the gateway starts alone");
    world.cluster_mut("c1").pod_mut(DISCOVERY)?.kill();
    world.cluster_mut("c2").pod_mut(DISCOVERY)?.kill();
    let pod = world.cluster_mut("c2").pod_mut(GATEWAY)?;
    let (away, ready) = dies(pod).await?;
    let age = table_is_remembered(world, away.killed).await?;
    report.then(&format!(
        "it is ready after {ready}, with a table of {age} ago"
    ));
    tokio::time::sleep(ALONE).await;

    report.when("the discoveries start, c2's without its own API server");
    for cluster in ["c2", "c1"] {
        comes_back(world.cluster_mut(cluster).pod_mut(DISCOVERY)?).await?;
        remembers(world, cluster, "c2", dead).await?;
    }
    eventually(
        "the gateway has its table from discovery",
        ARRIVAL,
        async || {
            let shown = gateway(world, "/debug/sync").await?;
            let is_of_now = shown["connected"] == true && shown["remembered"] == false;
            ensure!(is_of_now && shown["ageMs"] == 0, "{shown}");
            Ok(())
        },
    )
    .await?;
    let told = Took(newcomer::arrives(world, setting, "late-3").await?);
    report.then(&format!(
        "both remember c2; a sidecar that starts now has every endpoint after {told}"
    ));
    Ok(Step {
        fault: "both discoveries and c2's gateway are killed, c2's API server being dead; the \
                gateway starts 1.5 s before any discovery"
            .to_owned(),
        promise: "the gateway serves without a control plane and says how old its table is; a \
                  new sidecar gets every endpoint",
        begun,
        ended: SystemTime::now(),
        away: Some(away),
        measured: format!(
            "gateway ready after {ready}, its table's age {age}; new sidecar told after {told}"
        ),
    })
}

/// The gateway has its table from before its death, and says so; returns the age that it gives.
async fn table_is_remembered(world: &World, killed: SystemTime) -> Result<Took> {
    let least = killed.elapsed()?;
    let shown = gateway(world, "/debug/sync").await?;
    let age = shown["ageMs"].as_u64().map(Duration::from_millis);
    let is_remembered = shown["connected"] == false && shown["remembered"] == true;
    ensure!(
        is_remembered && age.is_some_and(|age| age >= least),
        "{shown}; it was killed {least:?} ago"
    );
    Ok(Took(age.unwrap_or_default()))
}

/// How long the gateway is without any discovery after it is back.
const ALONE: Duration = Duration::from_millis(1500);
