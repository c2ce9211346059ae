//! The networks are real: what the mesh does not carry does not arrive.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use scenarios::{
    dial::Dialled,
    report::Report,
    topology::APP_PORT,
    world::{Cluster, World, config::leaf_directory, pod::Pod},
};

use crate::setting::{HELLOWORLD, HELLOWORLD_ID, HELLOWORLD_SNI, Setting};

pub(super) async fn are_real(world: &World, setting: &Setting, report: &Report) -> Result<()> {
    let (c1, c2) = (world.cluster("c1"), world.cluster("c2"));
    let pods = c2.pods_of(setting.v2.name);
    let remote = pods.last().context("c2 has no pod of v2")?.address();
    ensure!(
        c1.pods().values().all(|pod| pod.address() != remote),
        "{remote} is in c1 too"
    );
    reach(c2, remote).context("inside c2")?;
    let refusal = reach(c1, remote)
        .err()
        .context("c1 reaches a pod of c2 by its address")?;
    report.then(&format!(
        "a pod of c2 answers inside c2, and from c1: {}",
        refusal.root_cause()
    ));

    let shared = c2.pod(setting.v2.name)?.address();
    let there = dial(c2, c2.pod("client")?, SocketAddr::from((shared, APP_PORT))).await?;
    ensure!(
        there.identity.as_deref() == Some(HELLOWORLD_ID),
        "inside c2: {there:?}"
    );
    let here = dial(c1, c1.pod("client")?, SocketAddr::from((shared, APP_PORT))).await?;
    let reason = here.reason.clone().unwrap_or_default();
    ensure!(
        here.stage.as_deref() == Some("handshake") && reason.contains("/sa/other"),
        "{shared} from c1: {here:?}"
    );
    report.then(&format!(
        "{shared} is helloworld in c2; dialled in c1 it is refused: {reason}"
    ));
    Ok(())
}

/// Dials with the certificate of the pod's account, accepting helloworld only.
pub(super) async fn dial(cluster: &Cluster, from: &Pod, to: SocketAddr) -> Result<Dialled> {
    let credential = leaf_directory(cluster.directory(), from.workload().account);
    from.ask(&[
        "tls-dial",
        "--credential",
        &credential.display().to_string(),
        "--address",
        &to.to_string(),
        "--sni",
        HELLOWORLD_SNI,
        "--expect",
        HELLOWORLD_ID,
        "--host",
        HELLOWORLD,
    ])
    .await
}

fn reach(cluster: &Cluster, address: Ipv4Addr) -> Result<()> {
    let client = cluster.pod("client")?.netns();
    client.connect(
        SocketAddr::from((address, APP_PORT)),
        Duration::from_secs(5),
    )?;
    Ok(())
}
