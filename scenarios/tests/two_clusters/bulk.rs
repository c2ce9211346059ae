//! Large bodies pass the gateway whole.

use anyhow::{Result, ensure};
use scenarios::{report::Report, world::World};
use serde_json::Value;

use crate::setting::{ARCHIVE, gateway_address, knows};

pub(super) async fn arrives_intact(world: &World, report: &Report) -> Result<()> {
    let client = world.cluster("c1").pod("client")?;
    report.given("archive, which only c2 has, exported by a ServiceExport");
    knows(client, "archive", &[gateway_address(world.cluster("c2"))]).await?;
    for bytes in ["200000", "200000000"] {
        for direction in [&["--up"][..], &[]] {
            let arguments = ["transfer", "--host", ARCHIVE, "--bytes", bytes];
            let moved: Value = client.ask(&[&arguments[..], direction].concat()).await?;
            ensure!(moved["intact"] == true, "{direction:?} {bytes}: {moved}");
            let way = if direction.is_empty() { "from" } else { "to" };
            let seconds = moved["seconds"].as_f64().unwrap_or_default();
            report.measured(
                &format!("{bytes} bytes {way} c2"),
                format!("whole, in {seconds:.2} s"),
                "intact",
            );
        }
    }
    Ok(())
}
