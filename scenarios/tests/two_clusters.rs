//! A request crosses two clusters.
//!
//! Two clusters in two networks, each with its own API server, discovery,
//! gateway and trust intermediate. `helloworld` answers as v1 in c1 and as v2 in
//! c2; a client in c1 calls it by name and gets both. Nothing in the mesh is
//! simulated: what the steps measure is what a user gets.

mod boundaries;
mod bulk;
mod outage;
mod shares;
mod unreadable;
mod withdrawal;

use anyhow::Result;
use scenarios::{peers::Peers, report::Report};

use crate::{setting::Setting, stage::Scene};

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let setting = Setting::new();
    let world = setting.build(peers, report, scene).await?;
    shares::follow_the_pods(world, &setting, report).await?;
    boundaries::are_real(world, &setting, report).await?;
    withdrawal::takes_effect(world, &setting, report).await?;
    // Before the outage: the real controllers are back from one after a minute only.
    unreadable::is_not_empty(world, &setting, report).await?;
    outage::loses_nothing(world, &setting, report).await?;
    bulk::arrives_intact(world, report).await
}
