//! An API server that is gone takes nothing with it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use scenarios::{
    load::Load,
    report::{Report, Took},
    world::{World, objects::DISCOVERY},
};

use crate::{
    newcomer,
    reading::is_shown,
    setting::{HELLOWORLD, Setting, weighs},
};

const OUTAGE: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_millis(10);

pub(super) async fn loses_nothing(
    world: &mut World,
    setting: &Setting,
    report: &Report,
) -> Result<()> {
    is_shown(world, "live").await?;
    let load = Load::start(world.cluster("c1").pod("client")?, HELLOWORLD, PACE)?;
    report.when("c2's API server is killed under a request every 10 ms");
    let start = Instant::now();
    world.cluster_mut("c2").stop_api();

    newcomer::arrives(world, setting, "latecomer").await?;
    report.then("a new sidecar in c1 is told of both clusters all the same");
    is_shown(world, "stale").await?;
    let stale = Took(start.elapsed());
    report.measured("until c1 shows c2 as stale", stale, "6 s and a heartbeat");

    report.when("discovery of c1 crashes and starts again without c2's API server");
    world.cluster_mut("c1").pod_mut(DISCOVERY)?.start_again()?;
    newcomer::arrives(world, setting, "stranger").await?;
    is_shown(world, "stale").await?;
    report.then("a new sidecar is told of both clusters: discovery remembers c2");

    tokio::time::sleep(OUTAGE.saturating_sub(start.elapsed())).await;
    world.cluster_mut("c2").start_api().await?;
    report.when(&format!(
        "c2's API server is back after {:.1} s",
        start.elapsed().as_secs_f64()
    ));
    let back = Instant::now();
    is_shown(world, "live").await?;
    weighs(world, 1, 3).await?;
    let live = Took(back.elapsed());
    report.measured("until c2 is live and served again", live, "a reconnect");

    let answers = load.finish().await?;
    let lost = answers.lost();
    ensure!(
        lost.is_empty(),
        "{} lost, the first: {:?}",
        lost.len(),
        lost[0]
    );
    report.then(&format!(
        "none of {} requests was lost ({:?}; the slowest took {:?})",
        answers.len(),
        answers.by_version(),
        answers.slowest()
    ));
    report.fault(
        "state on disk",
        "c2's API server is dead for 20 s, and c1's discovery crashes meanwhile",
        "no request lost; c2 is shown as stale; new sidecars get every endpoint, before the crash \
         and after it",
        format!(
            "0 of {} lost; stale after {stale}; live again {live} after its return",
            answers.len()
        ),
    );
    Ok(())
}
