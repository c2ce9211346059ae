//! What everybody believes, beside what the API server says.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use scenarios::{
    crowd::Crowd,
    envoy,
    picture::{Picture, service_of},
    probe::eventually,
    topology::GATEWAY,
    world::World,
};

use super::cast::{Cast, PREFIX, Took};

/// How long viewers may take to believe what is true, once nothing changes any more.
pub(super) const SETTLES: Duration = Duration::from_secs(5);

/// Asks the API server, and waits until the recorder, the Envoy and the gateway each have
/// exactly that; says how long it took. Nothing may change meanwhile.
pub(super) async fn settles(world: &World, cast: &mut Cast, limit: Duration) -> Result<Took> {
    let start = Instant::now();
    let truth = Crowd::listed(world.cluster("c1").api()).await?;
    let recorder = &mut cast.recorder;
    eventually("the recorder knows what is true", limit, async || {
        recorder.picture()?.agrees(&truth)
    })
    .await?;
    let took = Took(start.elapsed());
    eventually("the Envoy has what is true", limit, async || {
        let client = world.cluster("c1").pod("client")?;
        envoy::picture(client, PREFIX).await?.agrees(&truth)
    })
    .await?;
    eventually("the gateway routes what is true", limit, async || {
        routes(world).await?.agrees(&truth)
    })
    .await?;
    Ok(took)
}

/// What the gateway would dial.
async fn routes(world: &World) -> Result<Picture> {
    let gateway = world.cluster("c1").pod(GATEWAY)?;
    let page = gateway.page(15000, "/debug/routes").await?.json()?;
    let mut picture = Picture::default();
    for route in page["routes"].as_array().context("no routes")? {
        let service = route["sni"].as_str().and_then(service_of);
        let service = service.with_context(|| format!("a route of nothing: {route}"))?;
        picture.know(service);
        for endpoint in route["endpoints"].as_array().context("no endpoints")? {
            let address = endpoint["address"].as_str().context("no address")?;
            picture.add(service, address);
        }
    }
    ensure!(picture.services() > 0, "no routes at all");
    Ok(picture)
}
