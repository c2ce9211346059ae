//! What is taken away is gone at once, and comes back.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use scenarios::{
    load::{Answers, Load},
    probe::eventually,
    report::{Report, Took},
    topology::{GATEWAY, MESH_PORT},
    world::World,
};

use super::boundaries::dial;
use crate::setting::{ARRIVAL, HELLOWORLD, HELLOWORLD_SNI, Setting, weighs};

/// What is promised, and five times that: what the test lets pass, so that a busy
/// machine does not fail it.
const PROMISE: &str = "1 s, the test fails at 5 s";
const LIMIT: Duration = Duration::from_secs(5);
const PACE: Duration = Duration::from_millis(10);

pub(super) async fn takes_effect(
    world: &mut World,
    setting: &Setting,
    report: &Report,
) -> Result<()> {
    pods_leave(world, setting, report).await?;
    export_ends(world, report).await
}

async fn pods_leave(world: &mut World, setting: &Setting, report: &Report) -> Result<()> {
    let mut load = begin(world).await?;
    report.when("v1 is scaled to zero under a request every 10 ms");
    // The pod serves on for longer than the limit: a late answer shows as one.
    let linger = LIMIT + Duration::from_secs(1);
    let written = world
        .cluster_mut("c1")
        .scale_down(&setting.v1, 0, linger)
        .await?;
    let answers = load.so_far()?;
    let left = gone(&answers, "v1", written)?;
    report.measured("from the API write to v1's last answer", left, PROMISE);

    report.when("v1 comes back");
    world.cluster_mut("c1").scale_up(&setting.v1, 1).await?;
    let ready = SystemTime::now();
    let back = returned(&mut load, "v1", ready).await?;
    report.measured("from Ready to v1's first answer", back, "2 s");
    let all = end(load, report).await?;
    report.fault(
        "withdrawal",
        "a workload is scaled to zero under a request every 10 ms, and comes back",
        "its last answer 1 s after the API write; its first again 2 s after Ready; no request lost",
        format!("{left}; {back}; 0 of {all} lost"),
    );
    Ok(())
}

async fn export_ends(world: &World, report: &Report) -> Result<()> {
    let (c1, c2) = (world.cluster("c1"), world.cluster("c2"));
    let gateway = SocketAddr::from((c2.plan().gateway(), MESH_PORT));
    let client = c1.pod("client")?;
    let before = dial(c1, client, gateway).await?;
    ensure!(
        before.identity.is_some(),
        "through c2's gateway: {before:?}"
    );

    let mut load = begin(world).await?;
    report.when("the export label of helloworld is removed in c2");
    let closed = c2.export("sample", "helloworld", false).await?;
    let start = Instant::now();
    let refusal = eventually("c2's gateway closes the name", LIMIT, async || {
        let after = dial(c1, client, gateway).await?;
        after
            .reason
            .clone()
            .with_context(|| format!("still open: {after:?}"))
    })
    .await?;
    let shut = Took(start.elapsed());
    report.measured("until c2's gateway closes the name", shut, PROMISE);
    says_unknown_sni(world)?;
    report.then(&format!("it says unknown_sni; the caller sees: {refusal}"));

    tokio::time::sleep((LIMIT + Duration::from_secs(1)).saturating_sub(start.elapsed())).await;
    let left = gone(&load.so_far()?, "v2", closed)?;
    report.measured("from the API write to v2's last answer", left, PROMISE);

    report.when("the label is back");
    let written = c2.export("sample", "helloworld", true).await?;
    let back = returned(&mut load, "v2", written).await?;
    report.measured("from the API write to v2's first answer", back, "2 s");
    weighs(world, 1, 3).await?;
    // Unlike a pod that ends, a name that is closed at once refuses callers that
    // have not heard of it yet.
    let answers = load.finish().await?;
    let lost = answers.lost();
    let late = answers.after(closed + LIMIT);
    ensure!(
        late.lost().is_empty(),
        "still refused: {:?}",
        late.lost()[0]
    );
    report.measured(
        "requests lost in the meantime",
        lost.len(),
        "only those on their way",
    );
    report.fault(
        "withdrawal",
        "the export label of a service is removed under a request every 10 ms, and comes back",
        "the gateway refuses the name, and the other cluster's last answer comes, 1 s after the \
         API write; its first again after 2 s; lost only what was on its way",
        format!(
            "{shut}; {left}; {back}; {} of {} lost",
            lost.len(),
            answers.len()
        ),
    );
    Ok(())
}

/// Starts the client and waits until both versions answer it.
async fn begin(world: &World) -> Result<Load> {
    let mut load = Load::start(world.cluster("c1").pod("client")?, HELLOWORLD, PACE)?;
    eventually("both versions answer", ARRIVAL, async || {
        let answers = load.so_far()?;
        ensure!(
            answers.by_version().len() == 2,
            "{:?}",
            answers.by_version()
        );
        Ok(())
    })
    .await?;
    Ok(load)
}

/// Stops the client; says how many requests there were, none of them lost.
async fn end(load: Load, report: &Report) -> Result<usize> {
    let answers = load.finish().await?;
    let lost = answers.lost();
    ensure!(
        lost.is_empty(),
        "{} lost, the first: {:?}",
        lost.len(),
        lost[0]
    );
    report.then(&format!("none of {} requests was lost", answers.len()));
    Ok(answers.len())
}

/// How long after `written` the version answered last; fails when it never
/// stopped, or too late.
fn gone(answers: &Answers, version: &str, written: SystemTime) -> Result<Took> {
    let after = answers.after(written + LIMIT);
    ensure!(
        !after.is_empty(),
        "no request was sent {LIMIT:?} after the write"
    );
    ensure!(
        !after.by_version().contains_key(version),
        "{version} still answers after {LIMIT:?}: {:?}",
        after.by_version()
    );
    match answers.last_of(version, written) {
        Some(delay) => Ok(Took(delay)),
        None => bail!("{version} never answered"),
    }
}

async fn returned(load: &mut Load, version: &str, since: SystemTime) -> Result<Took> {
    eventually("it answers again", ARRIVAL, async || {
        let answers = load.so_far()?.after(since);
        let first = answers.first_of(version, since);
        first
            .map(Took)
            .with_context(|| format!("{:?}", answers.by_version()))
    })
    .await
}

/// The access log of c2's gateway has a line for the closed name.
fn says_unknown_sni(world: &World) -> Result<()> {
    let gateway = world.cluster("c2").pod(GATEWAY)?;
    let log = gateway
        .processes()
        .first()
        .context("the gateway has no program")?
        .log();
    let text = std::fs::read_to_string(log)?;
    let line = text
        .lines()
        .find(|line| line.contains("unknown_sni") && line.contains(HELLOWORLD_SNI));
    line.context("the gateway's log has no unknown_sni for the name")?;
    Ok(())
}
