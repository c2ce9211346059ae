//! What is withdrawn gets no request more, from neither kind, and nothing is lost by it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use scenarios::{load::Load, probe::eventually, report::Report, world::World};

use super::cast::{ARRIVAL, CLIENTS, Cast, HELLOWORLD};

const PACE: Duration = Duration::from_millis(5);
/// Five times what is promised, so that a busy machine does not fail the test.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn takes_effect(world: &mut World, cast: &Cast, report: &Report) -> Result<()> {
    for workload in &cast.here {
        let version = workload.name;
        let c1 = world.cluster("c1");
        let begin = |name| Load::start(c1.pod(name)?, HELLOWORLD, PACE);
        let mut loads = CLIENTS.map(begin).into_iter().collect::<Result<Vec<_>>>()?;
        for load in &mut loads {
            eventually("all versions answer", ARRIVAL, async || {
                let answers = load.so_far()?;
                ensure!(answers.by_version().contains_key(version), "not {version}");
                Ok(())
            })
            .await?;
        }
        report.when(&format!(
            "{version} is scaled to zero under requests of both clients"
        ));
        // The pod serves on for longer than the limit: a late answer shows as one.
        let linger = LIMIT + Duration::from_secs(1);
        let c1 = world.cluster_mut("c1");
        let written = c1.scale_down(workload, 0, linger).await?;
        for (name, load) in CLIENTS.into_iter().zip(loads) {
            let answers = load.finish().await?;
            let lost = answers.lost();
            ensure!(
                lost.is_empty(),
                "{name} lost {}, first {:?}",
                lost.len(),
                lost[0]
            );
            let last = answers
                .last_of(version, written)
                .context("it never answered")?;
            ensure!(
                last <= LIMIT,
                "{name}: {version} still answered after {last:?}"
            );
            let what = format!("{name}: from the API write to its last answer");
            let took = format!("{} ms, none of {} lost", last.as_millis(), answers.len());
            report.measured(&what, took, "1 s, the test fails at 5 s");
        }
    }
    let c1 = world.cluster_mut("c1");
    for workload in &cast.here {
        c1.scale_up(workload, 1).await?;
    }
    Ok(())
}
