//! One cluster with a real istiod, two gateways of its network, and services of every kind.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use scenarios::{
    peers::Peers,
    probe::eventually,
    report::Report,
    topology::{GATEWAY, MESH_PORT, Role, SYSTEM_NAMESPACE, ServicePlan, Workload, labels},
    world::{Cluster, World, cluster::istio::Flavour},
};
use serde_json::{Value, json};

use super::{
    cell::mesh_name,
    client_hello::{Cut, client_hello},
    question::Question,
};
use crate::{
    istio::{OURS, install_both, plans},
    setting::ARRIVAL,
    stage::Scene,
};

/// A service with a pod behind a sidecar.
pub(super) const SERVING: &str = "serving";
/// A service whose pod claims a sidecar, and answers whatever comes: a sidecar itself would
/// reset what is not the mesh's.
pub(super) const FRANK: &str = "frank";
/// A service whose pod has no sidecar.
pub(super) const PLAIN: &str = "plain";
/// A service without endpoints.
pub(super) const EMPTY: &str = "empty";
/// A service of the same pods, but the DestinationRule turns mTLS off.
pub(super) const NOT_MUTUAL: &str = "notmutual";
/// They had a service of this name, too, that is no more.
pub(super) const DELETED: &str = "deleted";
/// All of them.
pub(super) const SERVICES: [&str; 6] = [SERVING, FRANK, EMPTY, PLAIN, NOT_MUTUAL, DELETED];
/// What stands behind the wildcard beside them, and speaks TLS without a sidecar.
pub(super) const ISTIOD: &str = "istiod";
/// A port whose chains have wildcards, and no protocols.
pub(super) const WILD_PORT: u16 = 15999;
/// Every wildcard's domain.
pub(super) const WILD: &str = "wild.example";

/// A standing mesh.
pub(super) struct Mesh<'a> {
    cluster: &'a Cluster,
}

impl<'a> Mesh<'a> {
    pub(super) async fn build(
        peers: &Peers,
        report: &Report,
        scene: &'a mut Scene,
    ) -> Result<Self> {
        let [plan, _] = plans();
        let world = scene.insert(World::start(peers, &[plan]).await?);
        world.install_istio(Flavour::StockEnvoy).await?;
        let cluster = world.cluster_mut("c1");
        cluster.expose().await?;
        for (name, app) in [
            (SERVING, SERVING),
            (EMPTY, "nobody"),
            (PLAIN, PLAIN),
            (FRANK, FRANK),
            (NOT_MUTUAL, FRANK),
            (DELETED, FRANK),
        ] {
            cluster
                .serve(&ServicePlan::new(name, &[("app", app)], false))
                .await?;
            cluster.apply(&subset(name, name == NOT_MUTUAL)).await?;
        }
        for object in wildcards() {
            cluster.apply(&object).await?;
        }
        report.given("a cluster with a real istiod, and services of every kind");
        for gateway in install_both(cluster).await? {
            cluster.scale_up(&gateway, 1).await?;
        }
        report.given("two gateways of its network: an Envoy and ours");
        for workload in workloads() {
            cluster.scale_up(&workload, 1).await?;
        }
        let mesh = Self {
            cluster: world.cluster("c1"),
        };
        mesh.agrees().await?;
        mesh.serves(&mesh_name(DELETED, "")).await?;
        report.given("both serve all of them");
        Ok(mesh)
    }

    pub(super) fn envoy(&self) -> IpAddr {
        self.cluster.plan().gateway().into()
    }

    pub(super) fn ours(&self) -> IpAddr {
        self.cluster.plan().other_gateway().into()
    }

    /// Deletes a service and waits until both have heard of it.
    pub(super) async fn lose_a_service(&self) -> Result<()> {
        let api = self.cluster.api();
        api.delete::<Service>("sample", DELETED, None).await?;
        eventually("the deleted service is gone", ARRIVAL, async || {
            for names in [self.known_to_envoy().await?, self.known_to_ours().await?] {
                let gone = (MESH_PORT, mesh_name(DELETED, ""));
                ensure!(!names.contains(&gone), "it is still known");
            }
            Ok(())
        })
        .await
    }

    /// Waits until both have the same names on the same ports, and reach what they can.
    pub(super) async fn agrees(&self) -> Result<()> {
        eventually("both know the same names", ARRIVAL, async || {
            let (envoy, ours) = (self.known_to_envoy().await?, self.known_to_ours().await?);
            let differ: Vec<_> = envoy.symmetric_difference(&ours).collect();
            ensure!(differ.is_empty(), "one of them only has {differ:?}");
            let wild = (WILD_PORT, format!("*.{ISTIOD}.{WILD}"));
            ensure!(envoy.contains(&wild), "no {wild:?} in {envoy:?}");
            Ok(())
        })
        .await?;
        self.serves(&mesh_name(FRANK, "v1")).await?;
        self.serves(&mesh_name(SERVING, "v1")).await
    }

    /// Waits until a mesh name leads to a backend through both.
    async fn serves(&self, sni: &str) -> Result<()> {
        let hello = client_hello(Some(sni), Some("istio"))?;
        let question = Question {
            port: MESH_PORT,
            writes: Cut::Whole.writes(&hello, Some(sni)),
        };
        for gateway in [self.envoy(), self.ours()] {
            eventually("a name is served", ARRIVAL, async || {
                let answer = question.ask(gateway).await?.kind;
                ensure!(answer.is_reached(), "{gateway} for {sni}: {answer}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// The names of all chains that Envoy has, with their ports.
    async fn known_to_envoy(&self) -> Result<BTreeSet<(u16, String)>> {
        let path = "/config_dump?resource=dynamic_listeners";
        let page = self.cluster.pod(GATEWAY)?.page(15000, path).await?.json()?;
        let mut names = BTreeSet::new();
        for listener in page["configs"].as_array().context("no listeners")? {
            let listener = &listener["active_state"]["listener"];
            let port = &listener["address"]["socket_address"]["port_value"];
            let port = port.as_u64().context("a listener without a port")?;
            let port = u16::try_from(port)?;
            for chain in listener["filter_chains"].as_array().into_iter().flatten() {
                let names_of = chain["filter_chain_match"]["server_names"].as_array();
                let of_chain = names_of.into_iter().flatten().filter_map(Value::as_str);
                names.extend(of_chain.map(|name| (port, name.to_owned())));
            }
        }
        Ok(names)
    }

    /// The names of all routes that ours has, with their ports. Envoy's chain for any name
    /// has none.
    async fn known_to_ours(&self) -> Result<BTreeSet<(u16, String)>> {
        let page = self
            .cluster
            .pod(OURS)?
            .page(15000, "/debug/routes")
            .await?
            .json()?;
        let mut names = BTreeSet::new();
        for route in page["routes"].as_array().context("no routes")? {
            let sni = route["sni"].as_str().context("a route without a name")?;
            let listener = route["listener"]
                .as_str()
                .context("a route of no listener")?;
            let port = listener
                .rsplit('_')
                .next()
                .and_then(|port| port.parse().ok());
            let port = port.with_context(|| listener.to_owned())?;
            if sni != "*" {
                names.insert((port, sni.to_owned()));
            }
        }
        Ok(names)
    }
}

/// An application with an injected sidecar, and two without one, of which one claims it.
fn workloads() -> [Workload; 3] {
    let version = "v1";
    let injected = Role::Injected {
        version: Some(version),
        istiod: None,
    };
    let bare = Role::Bare { version };
    [
        (SERVING, injected, &[][..]),
        (FRANK, bare.clone(), &[NOT_INJECTED, CLAIM]),
        (PLAIN, bare, &[NOT_INJECTED]),
    ]
    .map(|(name, role, more)| Workload {
        name,
        namespace: "sample",
        account: "helloworld",
        labels: labels(&[&[("app", name), ("version", version)], more].concat()),
        role,
        address: None,
    })
}

/// A service's subset `v1`, and whether its clients are told to speak plain text.
fn subset(service: &str, plain_text: bool) -> Value {
    let mut spec = json!({
        "host": format!("{service}.sample.svc.cluster.local"),
        "subsets": [{ "name": "v1", "labels": { "version": "v1" } }],
    });
    if plain_text {
        spec["trafficPolicy"] = json!({ "tls": { "mode": "DISABLE" } });
    }
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": { "name": service, "namespace": "sample" },
        "spec": spec,
    })
}

/// Names below wildcards, that lead to the services and to istiod whatever the protocol.
fn wildcards() -> [Value; 2] {
    let route = |(service, namespace, port): (&str, &str, u16)| {
        let host = format!("{service}.{namespace}.svc.cluster.local");
        json!({
            "match": [{ "port": WILD_PORT, "sniHosts": [format!("*.{service}.{WILD}")] }],
            "route": [{ "destination": { "host": host, "port": { "number": port } } }],
        })
    };
    let own = SERVICES.map(|service| (service, "sample", 80));
    let routes = own.into_iter().chain([(ISTIOD, SYSTEM_NAMESPACE, 15012)]);
    let hosts = [format!("*.{WILD}")];
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": { "name": "wild", "namespace": SYSTEM_NAMESPACE },
        "spec": {
            "selector": { "istio": "eastwestgateway" },
            "servers": [{
                "port": { "number": WILD_PORT, "name": "tls-wild", "protocol": "TLS" },
                "tls": { "mode": "PASSTHROUGH" },
                "hosts": hosts,
            }],
        },
    });
    let service = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": { "name": "wild", "namespace": SYSTEM_NAMESPACE },
        "spec": {
            "hosts": hosts,
            "gateways": ["wild"],
            "tls": routes.map(route).collect::<Vec<_>>(),
        },
    });
    [gateway, service]
}

const NOT_INJECTED: (&str, &str) = ("sidecar.istio.io/inject", "false");
const CLAIM: (&str, &str) = ("security.istio.io/tlsMode", "istio");
