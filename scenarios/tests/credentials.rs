//! Credentials come, go, and lie; what was known stays.
//!
//! Two clusters in one flat network, so that a sidecar of c1 is told every
//! single endpoint of c2. c1's discovery reads c2 with a token in a remote
//! secret. Five hundred endpoints of c2 are written straight to its API server;
//! a recorder subscribes to them as a sidecar would, and c2's own audit log says
//! what discovery asked for.

mod adoption;
mod cast;
mod departure;
mod hole;
mod refusal;
mod rotation;
mod stranger;

use anyhow::Result;
use scenarios::{peers::Peers, report::Report};

use crate::stage::Scene;
use cast::Cast;

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let (world, mut cast) = Cast::assemble(peers, report, scene).await?;
    rotation::goes_unnoticed(world, &mut cast, report).await?;
    refusal::is_said_and_survived(world, &mut cast, report).await?;
    stranger::is_not_believed(world, &mut cast, report).await?;
    adoption::closes_the_gap(world, &mut cast, report).await?;
    hole::is_noticed_and_survived(world, &mut cast, report).await?;
    departure::is_at_once(world, &mut cast, report).await
}
