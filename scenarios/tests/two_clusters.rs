use crate::stage::Scene;
use anyhow::Result;
use scenarios::{peers::Peers, report::Report};
pub(crate) async fn story(_: &Peers, _: &Report, _: &mut Scene) -> Result<()> {
    Ok(())
}
