//! The secret leads to another cluster.

use std::time::{Instant, SystemTime};

use anyhow::{Result, ensure};
use scenarios::{
    report::{Report, Took},
    world::World,
};

use super::cast::{Cast, Removals, asked, never_listed, put};
use crate::reading::{shown, shows};

pub(super) async fn is_not_believed(world: &World, cast: &mut Cast, report: &Report) -> Result<()> {
    let since = SystemTime::now();
    let refused = leads_astray(world, report).await?;

    cast.crowd.leave(10, 2).await?;
    cast.settle().await?;
    let c2 = shown(world).await?;
    ensure!(c2["state"] == "live" && is_marked(&c2), "{c2}");
    let told = cast.told_the_truth(since)?;
    let wanted = Removals {
        removed: 10,
        added: 0,
    };
    ensure!(told == wanted, "told: {told:?}");
    let lists = asked(world, "c1")?.since(since).lists().len();
    ensure!(lists == 0, "c1 was listed for c2");
    report.then("c2 is followed as before, marked; 10 endpoints that left in c2 were told");

    put(world, &cast.kubeconfig).await?;
    let start = Instant::now();
    shows(world, "no mark any more", |c2| {
        ensure!(c2["state"] == "live" && !is_marked(c2), "{c2}");
        Ok(())
    })
    .await?;
    let unmarked = Took(start.elapsed());
    report.measured("the secret leads back; unmarked after", unmarked, "1 s");
    cast.crowd.come(10, 2).await?;
    cast.settle().await?;
    never_listed(world, since)?;
    cast.told_the_truth(since)?;
    report.then("the 10 are back; c2 was not listed");
    report.fault(
        "credentials",
        "the secret's kubeconfig leads to another cluster, and back",
        "refused after 1 s with the reason; the old cluster is followed on, without a list; the \
         other one is never listed",
        format!("refused after {refused}; unmarked {unmarked} after it leads back; 0 lists"),
    );
    Ok(())
}

/// Says how long it took until that was refused.
async fn leads_astray(world: &World, report: &Report) -> Result<Took> {
    let c1 = world.cluster("c1");
    let other = c1.reader_kubeconfig("token-of-a-stranger").await?;
    put(world, &other).await?;
    let start = Instant::now();
    report.when("the secret's kubeconfig leads to c1's API server");
    let reason = shows(world, "that c2 is refused", |c2| {
        ensure!(is_marked(c2), "{c2}");
        Ok(c2["lastError"].to_string())
    })
    .await?;
    let refused = Took(start.elapsed());
    report.measured("until it is refused", refused, "1 s");
    report.then(&format!("it says {reason}"));
    Ok(refused)
}

fn is_marked(c2: &serde_json::Value) -> bool {
    let reason = c2["lastError"].as_str().unwrap_or_default();
    reason.contains("which is another cluster")
}
