//! Two secrets for one cluster: one counts, and the other takes over without a gap.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use scenarios::{
    probe::eventually,
    report::{Report, Took},
    world::{World, objects},
};
use serde_json::json;

use super::cast::{ARRIVAL, Cast, SECRET, asked, never_listed, remove, revoke};
use crate::reading::{clusters, reader, shown, shows};

/// The second one.
pub(super) const HEIR: &str = "istio-remote-secret-c2-again";

pub(super) async fn closes_the_gap(world: &World, cast: &mut Cast, report: &Report) -> Result<()> {
    nobody_has_two_names(world, report).await?;
    an_heir_takes_over(world, cast, report).await
}

/// A secret that gives a cluster another name, be it a peer or the own one.
async fn nobody_has_two_names(world: &World, report: &Report) -> Result<()> {
    report.when("secrets name c2 and c1 themselves as further clusters");
    for (name, peer) in [("mirror-of-c2", "c2"), ("mirror-of-c1", "c1")] {
        let since = SystemTime::now();
        let kubeconfig = world.cluster(peer).reader_kubeconfig(name).await?;
        let c1 = world.cluster("c1");
        c1.add_remote_secret(name, &kubeconfig).await?;
        let reason = eventually("the second name is refused", ARRIVAL, async || {
            let page = clusters(reader(world)?).await?;
            let all = page["clusters"].as_array();
            let mirror = all.and_then(|all| all.iter().find(|one| one["cluster"] == name));
            let mirror = mirror.context("it is not shown")?;
            let reason = mirror["lastError"].as_str().unwrap_or_default().to_owned();
            let said = reason.contains(&format!("this is the cluster {peer}"));
            ensure!(said && mirror["objects"] == 0, "{mirror}");
            Ok(reason)
        })
        .await?;
        // Whoever is believed has been listed by the second heartbeat.
        tokio::time::sleep(HEARTBEATS).await;
        let lists = asked(world, peer)?.since(since).lists().len();
        ensure!(lists == 0, "{peer} was listed as {name}");
        remove(world, &format!("istio-remote-secret-{name}")).await?;
        report.then(&format!("{name} is refused: {reason}"));
    }
    report.fault(
        "credentials",
        "secrets give a peer and the own cluster a second name",
        "each is refused with the reason, and nothing is listed under it",
        "0 lists",
    );
    Ok(())
}

async fn an_heir_takes_over(world: &World, cast: &mut Cast, report: &Report) -> Result<()> {
    let since = SystemTime::now();
    let kubeconfig = world.cluster("c2").reader_kubeconfig("token-4").await?;
    let mut second = objects::remote_secret("c2", &kubeconfig);
    second["metadata"]["name"] = json!(HEIR);
    world.cluster("c1").api().create::<Secret>(second).await?;
    report.when("a second secret for c2 is made");
    let reason = eventually("the second secret is refused", ARRIVAL, async || {
        let page = clusters(reader(world)?).await?;
        let refused = page["secrets"]["refused"].as_array();
        let refusal = refused.and_then(|all| all.iter().find(|one| one["secret"] == HEIR));
        let refusal = refusal.with_context(|| format!("{}", page["secrets"]))?;
        Ok(format!("{}; {}", refusal["reason"], refusal["remedy"]).replace('"', ""))
    })
    .await?;
    ensure!(reason.contains(SECRET), "the reason: {reason}");
    ensure!(shown(world).await?["secret"] == SECRET, "the first owns it");
    report.then(&format!("it is refused: {reason}"));

    let removed = remove(world, SECRET).await?;
    let start = Instant::now();
    report.when("the first is deleted, and its token revoked");
    revoke(world, cast.anchor).await?;
    shows(world, "c2 by the second secret", |c2| {
        ensure!(c2["secret"] == HEIR && c2["state"] == "live", "{c2}");
        Ok(())
    })
    .await?;
    let adopted = Took(start.elapsed());
    report.measured("until the second is adopted", adopted, "1 s");
    cast.crowd.leave(10, 3).await?;
    cast.crowd.come(10, 3).await?;
    cast.settle().await?;
    let told = cast.told_the_truth(since)?;
    ensure!(
        told.removed <= 10 && told.removed == told.added,
        "told: {told:?}"
    );
    never_listed(world, removed)?;
    report.then(&format!(
        "no gap: nothing was removed but the {} endpoints that left; c2 was not listed",
        told.removed
    ));
    report.fault(
        "credentials",
        "of two secrets for one cluster the one that counts is deleted, its token revoked",
        "the other one is adopted after 1 s, without a gap and without a list",
        format!(
            "adopted after {adopted}; 0 lists; {} true removals told",
            told.removed
        ),
    );
    Ok(())
}

const HEARTBEATS: Duration = Duration::from_millis(2500);
