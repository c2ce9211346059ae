//! Looks at one cluster of the demo, through what anybody could ask: its API, its discovery's
//! pages, its gateway's metrics.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::Value;
use tokio::time::timeout;

use super::picture::{ClusterView, GatewayView, PeerView, PodView, ServiceView};
use crate::{
    metric,
    probe::get_here,
    topology::ClusterPlan,
    world::{api::Api, objects::EXPORT_LABEL},
};

/// An eye on one cluster. What cannot be seen for a moment stays as it was last seen.
#[derive(Debug)]
pub struct Eye {
    name: String,
    network: String,
    api: Api,
    discovery: SocketAddr,
    gateway: SocketAddr,
    seen: ClusterView,
}

impl Eye {
    /// An eye on the cluster of this plan: its API, and where its discovery and its gateway
    /// show what they know.
    #[must_use]
    pub fn new(plan: &ClusterPlan, api: Api, discovery: SocketAddr, gateway: SocketAddr) -> Self {
        Self {
            name: plan.name.clone(),
            network: plan.network.clone(),
            api,
            discovery,
            gateway,
            seen: ClusterView::default(),
        }
    }

    /// The cluster's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is there now; `gateway`: the gateway's process, while it runs.
    pub async fn look(&mut self, gateway: Option<u32>) -> ClusterView {
        let limit = |look| timeout(LIMIT, look);
        let (objects, peers, page) = tokio::join!(
            timeout(LIMIT, objects(&self.api)),
            timeout(LIMIT, peers(self.discovery, &self.name)),
            limit(get_here(self.gateway, "/metrics")),
        );
        if let Ok(Ok((services, pods))) = objects {
            (self.seen.services, self.seen.pods) = (services, pods);
        }
        if let Ok(Ok(peers)) = peers {
            self.seen.peers = peers;
        }
        self.seen.gateway = match page {
            Ok(Ok(page)) => figures(&page.text, gateway),
            _ => GatewayView {
                process: gateway,
                ready: false,
                ..self.seen.gateway.clone()
            },
        };
        ClusterView {
            name: self.name.clone(),
            network: self.network.clone(),
            ..self.seen.clone()
        }
    }
}

async fn objects(api: &Api) -> Result<(Vec<ServiceView>, Vec<PodView>)> {
    let services: Vec<Service> = api.list("sample", "").await?;
    let pods: Vec<Pod> = api.list("sample", "").await?;
    let services = services.iter().map(|service| {
        let metadata = &service.metadata;
        let label = metadata
            .labels
            .as_ref()
            .and_then(|all| all.get(EXPORT_LABEL));
        ServiceView {
            name: metadata.name.clone().unwrap_or_default(),
            exported: label.is_some_and(|value| value == "true"),
        }
    });
    let pods = pods.iter().map(|pod| {
        let status = pod.status.as_ref();
        PodView {
            name: pod.metadata.name.clone().unwrap_or_default(),
            address: status.and_then(|s| s.pod_ip.clone()).unwrap_or_default(),
            ready: is_ready(pod),
        }
    });
    Ok((services.collect(), pods.collect()))
}

/// Whether a pod says that it is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c.type_ == "Ready" && c.status == "True")
}

async fn peers(discovery: SocketAddr, own: &str) -> Result<Vec<PeerView>> {
    let page = get_here(discovery, "/debug/clusters").await?.json()?;
    let clusters = page["clusters"].as_array().context("no clusters")?;
    let others = clusters.iter().filter(|cluster| cluster["cluster"] != own);
    Ok(others.map(peer).collect())
}

fn peer(cluster: &Value) -> PeerView {
    let text = |field: &str| cluster[field].as_str().map(str::to_owned);
    PeerView {
        cluster: text("cluster").unwrap_or_default(),
        state: text("state").unwrap_or_default(),
        proof_of_life_age_ms: cluster["proofOfLifeAgeMs"].as_u64(),
        ready_endpoints: cluster["readyEndpoints"].as_u64().unwrap_or_default(),
        last_error: text("lastError"),
    }
}

fn figures(page: &str, process: Option<u32>) -> GatewayView {
    let sum = |name: &str| count(metric::sum(page, name, &[]));
    let unknown = [("reason", "unknown_sni")];
    let closed = "isthmus_eastwest_connections_closed_total";
    GatewayView {
        process,
        ready: true,
        open: sum("isthmus_eastwest_connections_open"),
        carried: sum("istio_tcp_connections_opened_total"),
        refused: count(metric::sum(page, closed, &unknown)),
        bytes: sum("isthmus_eastwest_relayed_bytes_total"),
        routes: sum("isthmus_eastwest_routes"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole and below 2^53"
)]
fn count(value: f64) -> u64 {
    value as u64
}

const LIMIT: Duration = Duration::from_millis(300);
