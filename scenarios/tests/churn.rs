//! A thousand services whose ten thousand endpoints change five hundred times a second.
//!
//! One cluster. Its discovery tells a real Envoy, our gateway and an independent recorder
//! of all of them; what each believes is compared with what the API server lists. In the
//! second half there are viewers beside them that misbehave.

mod cast;
mod claims;
mod figures;
mod misconduct;
mod refuser;
mod sleeper;
mod storm;
mod truth;

use anyhow::Result;
use scenarios::{peers::Peers, report::Report};

use crate::stage::Scene;
use cast::Cast;
use storm::Storm;

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let (world, mut cast) = Cast::assemble(peers, report, scene).await?;
    storm::one_write_for_each_change(&mut cast, report).await?;
    let mut storm = Storm::begin(&mut cast, report);
    storm::is_followed(world, &mut cast, &mut storm, report).await?;
    misconduct::harms_nobody_else(world, &mut cast, &mut storm, report).await?;
    storm::ends_in_agreement(world, &mut cast, storm, report).await
}
