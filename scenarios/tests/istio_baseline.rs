//! A real Istio of two networks, with its own gateways: what ours is measured against.

use anyhow::{Result, ensure};
use scenarios::{
    peers::Peers,
    report::Report,
    world::cluster::istio::{Flavour, GatewayKind},
};

use crate::{
    helloworld::{intermediate, is_shared, v2_sees},
    istio::{CLIENT_ID, Mesh},
    setting::weighs,
    stage::Scene,
};

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let mesh = Mesh::new(Flavour::StockEnvoy, GatewayKind::Envoy);
    let world = mesh.build(peers, report, scene).await?;

    report.when("a client in c1 sends 2,000 requests, each with a nonce of its own");
    is_shared(world, 0.5, 1, report).await?;

    let seen = v2_sees(world.cluster("c1")).await?;
    ensure!(seen.uris == [CLIENT_ID], "v2 sees {:?}", seen.uris);
    let (own, foreign) = (intermediate(world, "c1")?, intermediate(world, "c2")?);
    ensure!(seen.is_signed_by(&own)?, "not signed by c1's intermediate");
    ensure!(!seen.is_signed_by(&foreign)?, "signed by c2's intermediate");
    report.then(&format!("v2 sees {CLIENT_ID}, signed by c1's intermediate"));

    report.when("v2 gets a second pod");
    world.cluster_mut("c2").scale_up(&mesh.v2, 2).await?;
    weighs(world, 1, 2).await?;
    is_shared(world, 2.0 / 3.0, 1, report).await
}
