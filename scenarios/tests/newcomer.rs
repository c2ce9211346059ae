//! A sidecar that starts while something is broken is told everything all the same.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use scenarios::{
    envoy,
    probe::eventually,
    topology::{APP_PORT, Workload},
    world::{World, pod::Pod},
};

use crate::setting::{ARRIVAL, Setting, gateway_address, knows, outbound};

/// Starts one more client in c1 and waits until its sidecar is told everything; says how long
/// that took, from the start of its pod.
pub(crate) async fn arrives(
    world: &mut World,
    setting: &Setting,
    name: &'static str,
) -> Result<Duration> {
    let workload = Workload {
        name,
        address: None,
        ..setting.client.clone()
    };
    let start = Instant::now();
    world.cluster_mut("c1").scale_up(&workload, 1).await?;
    is_told_all(world, setting, world.cluster("c1").pod(name)?).await?;
    Ok(start.elapsed())
}

/// Waits until the sidecar of a client in c1 has, of the service that both clusters have, v1's
/// pods and c2's gateway, of the one that only c2 has the gateway, and nothing else.
pub(crate) async fn is_told_all(world: &World, setting: &Setting, client: &Pod) -> Result<()> {
    let gateway = gateway_address(world.cluster("c2"));
    let pods = world.cluster("c1").pods_of(setting.v1.name);
    let mut all: Vec<String> = pods
        .map(|pod| format!("{}:{APP_PORT}", pod.address()))
        .chain([gateway.clone()])
        .collect();
    all.sort();
    eventually("the new sidecar is told everything", ARRIVAL, async || {
        let weights = envoy::weights(client, &outbound("helloworld")).await?;
        ensure!(weights.keys().eq(&all), "it has {weights:?}, not {all:?}");
        Ok(())
    })
    .await?;
    knows(client, "archive", &[gateway]).await
}
