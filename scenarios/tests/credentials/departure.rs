//! The secret is deleted: its cluster leaves.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use scenarios::{probe::eventually, report::Report, world::World};

use super::{
    adoption::HEIR,
    cast::{Cast, remove},
};
use crate::reading::{clusters, reader};

pub(super) async fn is_at_once(world: &World, cast: &mut Cast, report: &Report) -> Result<()> {
    let all = cast.crowd.truth().len();
    let removed = remove(world, HEIR).await?;
    report.when("the secret is deleted");
    let none = std::collections::BTreeSet::new();
    let records = cast.recorder.agrees(&none, LIMIT).await?.since(removed);
    let (first, last) = records.span(removed).context("nothing was told")?;
    ensure!(last <= LIMIT, "the last endpoint left after {last:?}");
    let delays = format!(
        "first {} ms, last {} ms",
        first.as_millis(),
        last.as_millis()
    );
    report.measured(
        &format!("from the delete to {all} endpoints gone"),
        &delays,
        "1 s, the test fails at 5 s",
    );
    eventually("c2 is shown no more", LIMIT, async || {
        let page = clusters(reader(world)?).await?;
        let text = page["clusters"].to_string();
        ensure!(!text.contains("\"c2\""), "{text}");
        Ok(())
    })
    .await?;
    report.fault(
        "credentials",
        "the remote secret of a cluster is deleted",
        "its endpoints are gone after 1 s, and it is shown no more",
        format!("{all} endpoints: {delays}"),
    );
    Ok(())
}

const LIMIT: Duration = Duration::from_secs(5);
