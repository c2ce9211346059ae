//! Processes die at the worst moment, and what they knew is on disk.
//!
//! The two clusters of `two_clusters`. First with c2's API server dead, then with every API
//! server dead, our processes are killed and started again under two loads: a request every
//! 10 ms to a service that both clusters have, and to one that only c2 has. Only the absence
//! of the gateway that the requests cross may lose any. Then what is on disk is damaged, and
//! at last everything of ours is killed again and again at random moments of a churn.

mod absence;
mod blackout;
mod corruption;
mod leaves;
mod pages;
mod storm;
mod traffic;

use anyhow::Result;
use scenarios::{peers::Peers, report::Report};

use crate::{setting::Setting, stage::Scene};
use traffic::Traffic;

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let setting = Setting::new();
    let world = setting.build(peers, report, scene).await?;
    let mut traffic = Traffic::start(world).await?;
    report.given("a request every 10 ms to helloworld, and one to archive, which only c2 has");
    absence::loses_only_its_own_time(world, &setting, &mut traffic, report).await?;
    blackout::is_survived(world, &setting, &mut traffic, report).await?;
    corruption::is_set_aside(world, &mut traffic, report).await?;
    traffic.finish(report).await?;
    storm::tears_nothing(world, report).await
}
