//! The secret leads to another cluster.

use std::time::{Instant, SystemTime};

use anyhow::{Result, ensure};
use scenarios::{report::Report, world::World};

use super::cast::{Cast, Removals, Took, asked, never_listed, put, shown, shows};

pub(super) async fn is_not_believed(
    world: &World,
    cast: &mut Cast,
    report: &Report,
) -> Result<()> {
    let since = SystemTime::now();
    let other = world.cluster("c1").reader_kubeconfig("token-of-a-stranger").await?;
    let own = asked(world, "c1")?.lists().len();
    put(world, &other).await?;
    let start = Instant::now();
    report.when("the secret's kubeconfig leads to c1's API server");
    let reason = shows(world, "that c2 is refused", |c2| {
        let reason = c2["lastError"].as_str().unwrap_or_default();
        ensure!(reason.contains("which is another cluster"), "{c2}");
        Ok(reason.to_owned())
    })
    .await?;
    report.measured("until it is refused", Took(start.elapsed()), "1 s");
    report.then(&format!("it says {reason:?}"));

    cast.crowd.leave(10, 2).await?;
    cast.settle().await?;
    let state = shown(world).await?;
    ensure!(state["state"] == "live", "{state}");
    let said = state["lastError"].as_str().unwrap_or_default();
    ensure!(said.contains("another cluster"), "no longer marked: {state}");
    let told = cast.told_the_truth(since)?;
    ensure!(told == Removals { removed: 10, added: 0 }, "told: {told:?}");
    ensure!(asked(world, "c1")?.lists().len() == own, "c1 was listed for c2");
    report.then("c2 is followed as before, marked; 10 endpoints that left in c2 were told");

    put(world, &cast.kubeconfig).await?;
    let start = Instant::now();
    shows(world, "no mark any more", |c2| {
        let reason = c2["lastError"].as_str().unwrap_or_default();
        ensure!(c2["state"] == "live" && !reason.contains("another cluster"), "{c2}");
        Ok(())
    })
    .await?;
    report.measured("the secret leads back; unmarked after", Took(start.elapsed()), "1 s");
    cast.crowd.come(10, 2).await?;
    cast.settle().await?;
    never_listed(world, since)?;
    cast.told_the_truth(since)?;
    report.then("the 10 are back; c2 was not listed");
    Ok(())
}
