//! Packets vanish, silently.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use scenarios::{netns::Netns, report::Report, world::World};

use super::cast::{Cast, Removals, Took, is_shown, never_listed, reader};

pub(super) async fn is_noticed_and_survived(
    world: &World,
    cast: &mut Cast,
    report: &Report,
) -> Result<()> {
    let since = SystemTime::now();
    let netns = reader(world)?.netns();
    let server = world.cluster("c2").plan().node().to_string();
    let start = Instant::now();
    swallow(netns, "-I", &server)?;
    report.when("packets between discovery and c2's API server vanish");
    is_shown(world, "stale").await?;
    let stale = start.elapsed();
    report.measured("until c2 is stale", Took(stale), "6 s and a heartbeat");
    ensure!(stale <= LATEST, "stale too late: {stale:?}");
    ensure!(
        stale >= Duration::from_secs(4),
        "stale too early: {stale:?}"
    );

    cast.crowd.leave(10, 4).await?;
    report.when("meanwhile 10 endpoints leave in c2");
    tokio::time::sleep(HOLE.saturating_sub(start.elapsed())).await;
    let told = cast.told_the_truth(since)?;
    ensure!(
        told == Removals {
            removed: 0,
            added: 0
        },
        "told: {told:?}"
    );
    report.then("after 20 s nothing was removed");

    swallow(netns, "-D", &server)?;
    let back = Instant::now();
    report.when("packets pass again");
    is_shown(world, "live").await?;
    report.measured(
        "until c2 is live",
        Took(back.elapsed()),
        "a heartbeat and a connect",
    );
    cast.settle().await?;
    report.measured("until what is known is true", Took(back.elapsed()), "8 s");
    let told = cast.told_the_truth(since)?;
    ensure!(
        told == Removals {
            removed: 10,
            added: 0
        },
        "told: {told:?}"
    );
    never_listed(world, since)?;
    report.then("the 10 that had left were told, by watches that went on: no list");
    Ok(())
}

fn swallow(netns: &Netns, change: &str, server: &str) -> Result<()> {
    for (chain, side) in [("OUTPUT", "-d"), ("INPUT", "-s")] {
        netns.run(
            "iptables",
            &["-w", change, chain, side, server, "-j", "DROP"],
        )?;
    }
    Ok(())
}

const HOLE: Duration = Duration::from_secs(20);
/// Twice what is promised.
const LATEST: Duration = Duration::from_secs(12);
