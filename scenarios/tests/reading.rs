//! How a discovery reads a cluster, and what it says of it.

use anyhow::{Context, Result, ensure};
use scenarios::{
    probe::eventually,
    topology::{API_PORT, DISCOVERY_DEBUG_PORT},
    world::{World, objects::DISCOVERY, pod::Pod},
};
use serde_json::Value;

use crate::setting::ARRIVAL;

/// The pod of c1's discovery.
pub(crate) fn reader(world: &World) -> Result<&Pod> {
    world.cluster("c1").pod(DISCOVERY)
}

/// `/debug/clusters` of a discovery.
pub(crate) async fn clusters(discovery: &Pod) -> Result<Value> {
    let page = discovery.page(DISCOVERY_DEBUG_PORT, "/debug/clusters");
    page.await?.json()
}

/// How the discovery of `reader` shows a cluster.
pub(crate) async fn cluster_at(world: &World, reader: &str, cluster: &str) -> Result<Value> {
    let page = clusters(world.cluster(reader).pod(DISCOVERY)?).await?;
    let all = page["clusters"].as_array().context("no list of clusters")?;
    let shown = all.iter().find(|one| one["cluster"] == cluster);
    shown
        .cloned()
        .with_context(|| format!("{cluster} is not listed: {page}"))
}

/// How c1's discovery shows c2 now.
pub(crate) async fn shown(world: &World) -> Result<Value> {
    cluster_at(world, "c1", "c2").await
}

/// Waits until c1's discovery shows c2 so.
pub(crate) async fn shows<T>(
    world: &World,
    what: &str,
    check: impl Fn(&Value) -> Result<T>,
) -> Result<T> {
    eventually(&format!("c1 shows {what}"), ARRIVAL, async || {
        check(&shown(world).await?)
    })
    .await
}

/// Waits until c1's discovery shows c2 in a state.
pub(crate) async fn is_shown(world: &World, state: &str) -> Result<()> {
    shows(world, state, |c2| {
        ensure!(c2["state"] == state, "{c2}");
        Ok(())
    })
    .await
}

/// Cuts every established connection of c1's discovery to c2's API server; says how many.
pub(crate) fn sever(world: &World) -> Result<usize> {
    let server = world.cluster("c2").plan().node().to_string();
    let port = format!(":{API_PORT}");
    let all = ["-K", "-H", "-t", "-n", "state", "established"];
    let these = ["dst", &server, "dport", "=", &port];
    let cut = reader(world)?
        .netns()
        .run("ss", &[&all[..], &these[..]].concat())?;
    Ok(cut.lines().count())
}
