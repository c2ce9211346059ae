//! One cluster with a real istiod, a crowd of services, and two gateways of its network.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use k8s_openapi::api::{
    core::v1::{Namespace, Service},
    discovery::v1::EndpointSlice,
};
use scenarios::{
    crowd::Crowd,
    peers::Peers,
    probe::eventually,
    report::{Report, Took},
    topology::{APP_PORT, MESH_PORT, Role, Workload, labels},
    usage::{Usage, running},
    world::{Cluster, World, cluster::istio::Flavour},
};
use serde_json::{Value, json};

use super::{
    change::prepare,
    cost::{Both, envoy, memory, processes, program},
};
use crate::{
    istio::{install_both, plans},
    istio_matrix::{
        cell::mesh_name,
        client_hello::{Cut, client_hello},
        question::Question,
    },
    stage::Scene,
};

/// A standing mesh.
pub(super) struct Mesh<'a> {
    cluster: &'a mut Cluster,
    gateways: Both<Workload>,
}

/// What it took until a gateway served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) processor: Duration,
    pub(super) took: Duration,
}

impl<'a> Mesh<'a> {
    pub(super) async fn build(
        services: u16,
        peers: &Peers,
        report: &Report,
        scene: &'a mut Scene,
    ) -> Result<Self> {
        let [plan, _] = plans();
        let world = scene.insert(World::start(peers, &[plan]).await?);
        world.install_istio(Flavour::StockEnvoy).await?;
        let cluster = world.cluster_mut("c1");
        let nobody_injects = json!({ "metadata": { "labels": { "istio-injection": null } } });
        let api = cluster.api();
        api.merge::<Namespace>(None, "sample", &nobody_injects)
            .await?;
        cluster.expose().await?;
        report.given("a cluster with a real istiod");
        let start = Instant::now();
        let crowd = Crowd::gather(api, cluster.plan(), services, ENDPOINTS).await?;
        report.given(&format!(
            "{services} services and {} pods, in {}",
            crowd.truth().len(),
            Took(start.elapsed())
        ));
        cluster.scale_up(&backend(), 1).await?;
        let [envoy, ours] = install_both(cluster).await?;
        let mesh = Self {
            cluster,
            gateways: Both { envoy, ours },
        };
        prepare(&mesh).await?;
        mesh.serve_at(READY, APP_PORT).await?;
        Ok(mesh)
    }

    /// Starts one gateway after the other.
    pub(super) async fn start_gateways(&mut self, report: &Report) -> Result<Both<Load>> {
        let [envoy_at, ours_at] = self.addresses();
        let Both {
            envoy: theirs,
            ours,
        } = self.gateways.clone();
        let own = |agent| Ok(agent);
        let loads = Both {
            envoy: self.start(&theirs, envoy_at, envoy).await?,
            ours: self.start(&ours, ours_at, own).await?,
        };
        report.given("two gateways of its network: an Envoy and ours");
        Ok(loads)
    }

    async fn start(
        &mut self,
        gateway: &Workload,
        address: IpAddr,
        process: fn(u32) -> Result<u32>,
    ) -> Result<Load> {
        let start = Instant::now();
        self.cluster.scale_up(gateway, 1).await?;
        let question = self.question(READY)?;
        eventually("it serves", LOADED, async || {
            let answer = question.ask(address).await?.kind;
            ensure!(answer.is_reached(), "{address}: {answer}");
            Ok(())
        })
        .await?;
        let process = process(program(self.cluster.pod(gateway.name)?)?)?;
        Ok(Load {
            processor: running(process)?,
            took: start.elapsed(),
        })
    }

    pub(super) fn cluster(&self) -> &Cluster {
        self.cluster
    }

    /// Envoy's and ours.
    pub(super) fn addresses(&self) -> [IpAddr; 2] {
        let plan = self.cluster.plan();
        [plan.gateway().into(), plan.other_gateway().into()]
    }

    /// What both hold once nothing happens any more.
    pub(super) async fn memory(&self) -> Result<Both<Usage>> {
        tokio::time::sleep(REST).await;
        memory(processes(self.cluster)?)
    }

    /// What a client of a service says.
    pub(super) fn question(&self, service: &str) -> Result<Question> {
        let sni = mesh_name(service, "");
        let hello = client_hello(Some(&sni), Some("istio"))?;
        Ok(Question {
            port: MESH_PORT,
            writes: Cut::Whole.writes(&hello, Some(&sni)),
        })
    }

    /// Creates a service without endpoints, whose slices are ours to write.
    pub(super) async fn serve(&self, service: &str) -> Result<()> {
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": service, "namespace": "sample" },
            "spec": { "ports": [{ "name": "http", "port": 80, "targetPort": APP_PORT }] },
        });
        self.cluster.api().create::<Service>(service).await
    }

    /// Creates a service with the endpoint of [`Self::give_endpoint`].
    pub(super) async fn serve_at(&self, service: &str, port: u16) -> Result<()> {
        self.serve(service).await?;
        self.give_endpoint(service, port).await
    }

    /// Makes the one pod that runs an endpoint of a service, at this port.
    pub(super) async fn give_endpoint(&self, service: &str, port: u16) -> Result<()> {
        let pod = self.cluster.pod(BACKEND)?;
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": service,
                "namespace": "sample",
                "labels": {
                    "kubernetes.io/service-name": service,
                    "endpointslice.kubernetes.io/managed-by": "test",
                },
            },
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": [pod.address()],
                "conditions": { "ready": true },
                "nodeName": self.cluster.plan().node_name(),
                "targetRef": { "kind": "Pod", "name": pod.name(), "namespace": "sample" },
            }],
            "ports": ports(port),
        });
        self.cluster.api().create::<EndpointSlice>(slice).await
    }

    /// Moves the endpoint of a service to this port.
    pub(super) async fn move_endpoint(&self, service: &str, port: u16) -> Result<()> {
        let patch = json!({ "ports": ports(port) });
        let api = self.cluster.api();
        api.merge::<EndpointSlice>(Some("sample"), service, &patch)
            .await
    }
}

/// Of a slice whose endpoints listen at this one.
fn ports(port: u16) -> Value {
    json!([{ "name": "http", "port": port, "protocol": "TCP" }])
}

/// A pod that claims a sidecar, and answers whatever comes.
fn backend() -> Workload {
    Workload {
        name: BACKEND,
        namespace: "sample",
        account: "helloworld",
        labels: labels(&[("security.istio.io/tlsMode", "istio")]),
        role: Role::Bare { version: "v1" },
        address: None,
    }
}

const BACKEND: &str = "backend";
/// The service by which a gateway shows that it serves.
const READY: &str = "ready";
/// Of each service of the crowd.
const ENDPOINTS: u8 = 2;
const LOADED: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_secs(5);
