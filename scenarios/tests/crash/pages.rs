//! What our processes say of themselves.

use std::{
    fs,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use eastwest::{route::RouteSpec, sync::memory::Memory};
use scenarios::{
    probe::{Page, eventually},
    process::Ended,
    report::Took,
    topology::{APP_PORT, ClusterPlan, DISCOVERY_DEBUG_PORT, GATEWAY},
    world::{World, objects::DISCOVERY, pod::Pod},
};
use serde_json::{Value, json};

use super::traffic::Away;
use crate::{reading::cluster_at, setting::ARRIVAL};

/// Kills a pod's programs and starts them again after a while; says when they were away, and
/// how long the start took.
pub(super) async fn dies(pod: &mut Pod) -> Result<(Away, Took)> {
    let killed = SystemTime::now();
    pod.kill();
    tokio::time::sleep(ABSENCE).await;
    let started = SystemTime::now();
    let back = comes_back(pod).await?;
    Ok((Away { killed, back }, Took(back.duration_since(started)?)))
}

/// Starts a pod's programs and waits for its first readiness; says when that was.
pub(super) async fn comes_back(pod: &mut Pod) -> Result<SystemTime> {
    let start = Instant::now();
    pod.start_again()?;
    loop {
        match pod.is_ready().await {
            Ok(()) => return Ok(SystemTime::now()),
            Err(error) if error.is::<Ended>() || start.elapsed() > READY => return Err(error),
            // The moment is measured.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Checks that the discovery of `reader` only remembers `cluster`, and that it is at least as
/// old as it must be, `dead` being the last moment at which anybody could hear of it; says what
/// age it gives.
pub(super) async fn remembers(
    world: &World,
    reader: &str,
    cluster: &str,
    dead: SystemTime,
) -> Result<Took> {
    let least = dead.elapsed()?;
    let shown = cluster_at(world, reader, cluster).await?;
    let age = shown["rememberedAgeMs"].as_u64().map(Duration::from_millis);
    let most = dead.elapsed()? + OLDEST;
    let honest = age.is_some_and(|age| (least..most).contains(&age));
    ensure!(
        honest && shown["remembered"] == true && shown["state"] == "stale",
        "{reader} shows {shown}; {cluster} is dead since {least:?}"
    );
    Ok(Took(age.unwrap_or_default()))
}

/// The readiness of a discovery, with what it says.
pub(super) async fn readiness(discovery: &Pod) -> Result<Page> {
    discovery.page(DISCOVERY_DEBUG_PORT, "/healthz/ready").await
}

/// A debug page of c2's gateway.
pub(super) async fn gateway(world: &World, page: &str) -> Result<Value> {
    let gateway = world.cluster("c2").pod(GATEWAY)?;
    gateway.page(GATEWAY_DEBUG_PORT, page).await?.json()
}

/// Waits until what is known of both services in c2 is on disk, which is written once a second:
/// what died younger than that is not of this story.
pub(super) async fn is_kept(world: &World) -> Result<()> {
    let v2 = world.cluster("c2").pod("helloworld-v2")?;
    let address = SocketAddr::from((v2.address(), APP_PORT));
    for (cluster, workload, file) in [
        ("c1", DISCOVERY, "snapshot"),
        ("c2", DISCOVERY, "snapshot"),
        ("c2", GATEWAY, "table"),
    ] {
        let path = world.cluster(cluster).pod(workload)?.state().join(file);
        eventually("what is known is on disk", ARRIVAL, async || {
            let text = fs::read_to_string(&path)?;
            let (_, body) = text.split_once('\n').context("no body")?;
            let kept = match workload {
                GATEWAY => routes_to(address, text.as_bytes(), world.cluster(cluster).plan())?,
                _ => ready(&serde_json::from_str(body)?, v2.name()),
            };
            // Once for each service.
            ensure!(kept == 2, "{cluster}: {text}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// How many routes of a gateway's table lead to this address.
fn routes_to(address: SocketAddr, table: &[u8], plan: &ClusterPlan) -> Result<usize> {
    let edge = json!({ "cluster": plan.name, "network": plan.network });
    let (memory, _) = Memory::decode(table, &serde_json::from_value(edge)?)?;
    let leads = |route: &&Arc<RouteSpec>| route.endpoints.iter().any(|e| e.address == address);
    Ok(memory.routes.iter().filter(leads).count())
}

/// How many endpoints of this pod a snapshot has that were ready when it was written.
fn ready(snapshot: &Value, pod: &str) -> usize {
    let own = usize::from(snapshot["pod"] == pod && snapshot["ready"] == true);
    let below: usize = match snapshot {
        Value::Array(all) => all.iter().map(|value| ready(value, pod)).sum(),
        Value::Object(all) => all.values().map(|value| ready(value, pod)).sum(),
        _ => 0,
    };
    own + below
}

/// How often the log of a pod's program has said something, since the pod began.
pub(super) fn said(pod: &Pod, text: &str) -> Result<usize> {
    let program = pod.processes().first().context("a pod without a program")?;
    let log = fs::read_to_string(program.log())?;
    Ok(log.matches(text).count())
}

/// How long what was killed stays away.
const ABSENCE: Duration = Duration::from_secs(1);
const READY: Duration = Duration::from_secs(45);
/// Ages on disk are those of the last write, which comes once a minute without a change.
const OLDEST: Duration = Duration::from_secs(75);
const GATEWAY_DEBUG_PORT: u16 = 15000;
