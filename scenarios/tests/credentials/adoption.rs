//! Two secrets for one cluster: one counts, and the other takes over without a gap.

use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use scenarios::{
    probe::eventually,
    report::Report,
    world::{World, objects},
};
use serde_json::json;

use super::cast::{
    ARRIVAL, Cast, Removals, SECRET, Took, clusters, never_listed, remove, revoke, shown, shows,
};

/// The second one.
pub(super) const HEIR: &str = "istio-remote-secret-c2-again";

pub(super) async fn closes_the_gap(world: &World, cast: &mut Cast, report: &Report) -> Result<()> {
    let since = SystemTime::now();
    let kubeconfig = world.cluster("c2").reader_kubeconfig("token-4").await?;
    let mut second = objects::remote_secret("c2", &kubeconfig);
    second["metadata"]["name"] = json!(HEIR);
    world.cluster("c1").api().create::<Secret>(second).await?;
    report.when("a second secret for c2 is made");
    let reason = eventually("the second secret is refused", ARRIVAL, async || {
        let page = clusters(world).await?;
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
    report.measured("until the second is adopted", Took(start.elapsed()), "1 s");
    cast.crowd.leave(10, 3).await?;
    cast.crowd.come(10, 3).await?;
    cast.settle().await?;
    let told = cast.told_the_truth(since)?;
    ensure!(told.removed <= 10 && told.removed == told.added, "told: {told:?}");
    never_listed(world, removed)?;
    let told = Removals { ..told };
    report.then(&format!(
        "no gap: nothing was removed but the {} endpoints that left; c2 was not listed",
        told.removed
    ));
    Ok(())
}
