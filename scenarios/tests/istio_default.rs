//! An istiod as its chart has it: no stock Envoy takes its configuration. What stands at a
//! gateway in an Envoy's place must.

use std::time::Duration;

use anyhow::{Result, ensure};
use scenarios::{
    metric,
    peers::Peers,
    report::Report,
    topology::GATEWAY,
    world::{
        World,
        cluster::istio::{Flavour, GatewayKind, GatewayPlan, ISTIOD},
        pod::Pod,
    },
};
use serde_json::json;

use crate::{setting::plans, stage::Scene};

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let [plan, _] = plans("cluster.local");
    let world = scene.insert(World::start(peers, &[plan]).await?);
    world.install_istio(Flavour::Default).await?;
    let cluster = world.cluster_mut("c1");
    cluster.expose().await?;
    report.given("a cluster with an istiod as its chart has it");

    let gateway = GatewayPlan {
        name: GATEWAY,
        kind: GatewayKind::Envoy,
        wan: Some(cluster.plan().gateway()),
        values: json!({}),
    };
    let gateway = cluster.install_gateway(&gateway).await?;
    report.when("a gateway with a stock Envoy starts");
    let ready = tokio::time::timeout(PATIENCE, cluster.scale_up(&gateway, 1)).await;
    ensure!(ready.is_err(), "it became ready, or ended: {ready:?}");
    let refused = refusals(cluster.pod(ISTIOD)?).await?;
    ensure!(refused > 0.0, "istiod was never refused");
    report.then(&format!(
        "it is not ready after {PATIENCE:?}: it has refused {refused} of istiod's responses"
    ));
    Ok(())
}

/// How often istiod was refused.
async fn refusals(istiod: &Pod) -> Result<f64> {
    let page = istiod.page(15014, "/metrics").await?;
    Ok(metric::sum(&page.text, "pilot_total_xds_rejects", &[]))
}

/// Many times what an Envoy takes to be ready or to refuse.
const PATIENCE: Duration = Duration::from_secs(15);
