//! Packets vanish, silently.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use scenarios::{
    netns::Netns,
    report::{Report, Took},
    world::World,
};

use super::cast::{Cast, Removals, never_listed};
use crate::reading::{is_shown, reader};

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
    let live = Took(back.elapsed());
    report.measured("until c2 is live", live, "a heartbeat and a connect");
    cast.settle().await?;
    let known = Took(back.elapsed());
    report.measured("until what is known is true", known, "8 s");
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
    report.fault(
        "credentials",
        "packets to and from the API server vanish for 20 s",
        "stale after 6 s and a heartbeat; nothing removed; true again 8 s after its end, without a \
         list",
        format!(
            "stale after {}; live {live} and true {known} after its end; 0 lists",
            Took(stale)
        ),
    );
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
/// What is promised, and two seconds; by its watches alone discovery would need 12 s.
const LATEST: Duration = Duration::from_secs(10);
