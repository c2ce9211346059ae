//! Two clusters of a real Istio, before a story begins.

use anyhow::Result;
use futures::future::try_join_all;
use scenarios::{
    peers::Peers,
    report::Report,
    topology::{ClusterPlan, GATEWAY, Role, ServicePlan, Workload, labels, pod_address},
    world::{
        Cluster, World,
        cluster::istio::{Flavour, GatewayKind, GatewayPlan},
    },
};
use serde_json::{Value, json};

use crate::{setting::weighs, stage::Scene};

/// Who calls.
pub(crate) const CLIENT_ID: &str = "spiffe://cluster.local/ns/sample/sa/client";

/// The mesh as a story wants it, and its workloads.
#[derive(Debug, Clone)]
pub(crate) struct Mesh {
    pub(crate) flavour: Flavour,
    pub(crate) gateway: GatewayKind,
    /// Whether load balancers hold the gateways' addresses, not their pods.
    pub(crate) balanced: bool,
    pub(crate) v1: Workload,
    pub(crate) v2: Workload,
    pub(crate) client: Workload,
}

impl Mesh {
    pub(crate) fn new(flavour: Flavour, gateway: GatewayKind) -> Self {
        let workload = |name, account, version, address| Workload {
            name,
            namespace: "sample",
            account,
            labels: labels(&[("app", account), ("version", version)]),
            role: Role::Injected {
                version: Some(version),
                istiod: None,
            },
            address: Some(pod_address(address)),
        };
        Self {
            flavour,
            gateway,
            balanced: false,
            v1: workload("helloworld-v1", "helloworld", "v1", 20),
            v2: workload("helloworld-v2", "helloworld", "v2", 50),
            client: Workload {
                role: Role::Injected {
                    version: None,
                    istiod: None,
                },
                ..workload("client", "client", "none", 30)
            },
        }
    }

    /// The mesh of two networks, with one pod of `helloworld` and one client in each
    /// cluster, until the client in c1 has been told of both.
    pub(crate) async fn build<'a>(
        &self,
        peers: &Peers,
        report: &Report,
        scene: &'a mut Scene,
    ) -> Result<&'a mut World> {
        let world = scene.insert(World::start(peers, &plans()).await?);
        report.given("two clusters, two networks, one pod range, real API servers");
        world.install_istio(self.flavour).await?;
        report.given("an istiod in each, by its charts, on our intermediates; remote secrets");
        try_join_all(world.clusters_mut().map(|cluster| self.join(cluster))).await?;
        report.given("an east-west gateway and a client in each");
        world.cluster_mut("c1").scale_up(&self.v1, 1).await?;
        world.cluster_mut("c2").scale_up(&self.v2, 1).await?;
        report.given("helloworld v1 in c1, v2 in c2, each behind an injected sidecar");
        weighs(world, 1, 1).await?;
        report.given("the client's sidecar in c1 knows both");
        Ok(world)
    }

    /// What every member cluster has.
    async fn join(&self, cluster: &mut Cluster) -> Result<()> {
        cluster.apply(&strict()).await?;
        cluster.expose().await?;
        if self.balanced {
            cluster.balance_loads()?;
        }
        let gateway = GatewayPlan {
            name: GATEWAY,
            kind: self.gateway,
            wan: (!self.balanced).then(|| cluster.plan().gateway()),
            values: json!({}),
        };
        let gateway = cluster.install_gateway(&gateway).await?;
        let helloworld = ServicePlan::new("helloworld", &[("app", "helloworld")], false);
        cluster.serve(&helloworld).await?;
        cluster.scale_up(&gateway, 1).await?;
        cluster.scale_up(&self.client, 1).await
    }
}

/// Two clusters, each in a network of its own, in Istio's usual trust domain.
pub(crate) fn plans() -> [ClusterPlan; 2] {
    [1, 2].map(|number| ClusterPlan {
        trust_domain: "cluster.local".to_owned(),
        ..ClusterPlan::numbered(number)
    })
}

/// Installs two gateways of one network in a cluster: an Envoy by the usual name, and ours.
pub(crate) async fn install_both(cluster: &mut Cluster) -> Result<[Workload; 2]> {
    let plan = |name, kind, wan| GatewayPlan {
        name,
        kind,
        wan: Some(wan),
        values: json!({}),
    };
    let (first, other) = (cluster.plan().gateway(), cluster.plan().other_gateway());
    let envoy = plan(GATEWAY, GatewayKind::Envoy, first);
    let ours = plan(OURS, GatewayKind::Ours, other);
    Ok([
        cluster.install_gateway(&envoy).await?,
        cluster.install_gateway(&ours).await?,
    ])
}

/// Our gateway, where an Envoy has the usual name.
pub(crate) const OURS: &str = "istio-eastwestgateway-b";

/// Nothing in plain text.
fn strict() -> Value {
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": { "name": "default", "namespace": "istio-system" },
        "spec": { "mtls": { "mode": "STRICT" } },
    })
}
