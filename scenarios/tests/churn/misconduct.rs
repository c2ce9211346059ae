//! Viewers that do not do what they should, beside the churn.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use scenarios::{report::Report, world::World};

use super::{
    cast::Cast,
    claims,
    figures::{Delays, PROMISE},
    refuser::Refuser,
    sleeper::Sleeper,
    storm::{HALF, Storm},
};

pub(super) async fn harms_nobody_else(
    world: &World,
    cast: &mut Cast,
    storm: &mut Storm,
    report: &Report,
) -> Result<()> {
    let mut refuser = Refuser::arrive(world, report).await?;
    let mut sleeper = Sleeper::arrive(world)?;
    claims::are_refused(world, report).await?;
    storm.halt(world, cast, async |_, _| Ok(())).await?;
    sleeper.sleep(world, cast, report).await?;
    let asleep = SystemTime::now();
    let until = storm.running() + SLEEP;
    storm.rage(world, cast, until, 1).await?;
    let delays = Delays::since(cast, asleep)?;
    report.measured(
        "from write to received by others meanwhile",
        delays,
        PROMISE,
    );
    storm
        .halt(world, cast, async |world, cast| {
            sleeper.wakes(world, cast, delays, report).await
        })
        .await?;
    storm.rage(world, cast, HALF * 2, 0).await?;
    storm
        .halt(world, cast, async |world, _| {
            refuser.misses_only_what_it_refused(world, report).await
        })
        .await
}

const SLEEP: Duration = Duration::from_secs(20);
