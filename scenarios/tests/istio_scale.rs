//! What thousands of services of a real istiod cost an Envoy and our gateway, in one run.
//!
//! ```text
//! ISTHMUS_SCALE=5000 ISTHMUS_PROFILE=release cargo test -p scenarios --test scenarios -- istio_scale
//! ```
//!
//! Without these variables it is small, and of a build for tests. Ours must use a tenth of
//! Envoy's memory, and no more processor time to load, or for a service; for a service's first
//! endpoint only as it is built for users. Of an endpoint that moves that is not held, but
//! shown: it costs Envoy less than its idling varies by. What is promised for 5,000 services is
//! held of a build for users.

mod change;
mod cost;
mod figures;
mod mesh;
mod push;

use std::env;

use anyhow::{Context, Result};
use scenarios::{peers::Peers, report::Report};

use crate::stage::{Scene, profile};
use change::Kind;
use figures::Figures;
use mesh::Mesh;

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let services = match env::var("ISTHMUS_SCALE") {
        Ok(count) => count.parse().context("ISTHMUS_SCALE is no number")?,
        Err(_) => SERVICES,
    };
    let mut mesh = Mesh::build(services, peers, report, scene).await?;
    let loads = mesh.start_gateways(report).await?;
    let loaded = mesh.memory().await?;
    push::log_every(mesh.cluster())?;
    report.when("services and endpoints come, and endpoints move, each by one write");
    let mut changes = Vec::new();
    for kind in Kind::ALL {
        changes.push((kind, change::measure(&mesh, kind).await?));
    }
    let figures = Figures {
        profile: profile()?,
        services,
        loads,
        loaded,
        changes,
        changed: mesh.memory().await?,
    };
    print!("{figures}");
    figures.hold()?;
    report.then("ours takes a tenth of Envoy's memory, and less processor time");
    Ok(())
}

/// Enough for Envoy's memory to be its services'.
const SERVICES: u16 = 1000;
