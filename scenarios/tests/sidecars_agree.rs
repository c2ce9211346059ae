//! The built-in sidecar does what an Envoy does.
//!
//! Two clusters as in `two_clusters`, with every sidecar twice: a client of each kind in c1, a
//! pod of each kind behind `helloworld` in both. All of them are told the same by the same
//! discoveries; what one kind does, the other must do.

mod bulk;
mod cast;
mod refusals;
mod shares;
mod withdrawal;

use anyhow::Result;
use scenarios::{peers::Peers, report::Report};

use crate::stage::Scene;
use cast::Cast;

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    peers.envoy()?;
    let cast = Cast::new();
    let world = cast.assemble(peers, report, scene).await?;
    shares::are_the_same(world, report).await?;
    shares::servers_see_the_same(world, report).await?;
    withdrawal::takes_effect(world, &cast, report).await?;
    bulk::arrives_intact(world, report).await?;
    bulk::memory(world, report)?;
    refusals::are_of_one_kind(world, &cast, report).await
}
