//! What stands before the story begins, and how both kinds are asked.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use scenarios::{
    envoy,
    peers::Peers,
    probe::eventually,
    report::Report,
    topology::{
        ClusterPlan, GATEWAY, Role, SYSTEM_NAMESPACE, ServicePlan, Workload, labels, pod_address,
    },
    world::{
        Cluster, World,
        objects::{DISCOVERY, DISCOVERY_NAMESPACE},
        pod::Pod,
        role::{DISCOVERY_ADDRESS, SIDECAR_LABEL},
    },
};

use crate::stage::Scene;

/// The service that both clusters have.
pub(super) const HELLOWORLD: &str = "helloworld.sample.svc.cluster.local";
/// The kinds of sidecars.
pub(super) const KINDS: [&str; 2] = ["envoy", "builtin"];
/// The clients in c1, by the kinds of their sidecars.
pub(super) const CLIENTS: [&str; 2] = ["client-envoy", "client-builtin"];
/// How long anything may take to arrive before a step fails for it.
pub(super) const ARRIVAL: Duration = Duration::from_secs(20);

/// The workloads of the story.
pub(super) struct Cast {
    clients: Vec<Workload>,
    /// helloworld in c1.
    pub(super) here: Vec<Workload>,
    /// helloworld in c2.
    there: Vec<Workload>,
    /// Speaks plain text where the mesh says that it speaks TLS.
    pub(super) plain: Workload,
    gateway: Workload,
    discovery: Workload,
}

impl Cast {
    pub(super) fn new() -> Self {
        let workload = |name, account, pairs: &[(&str, &str)], role| Workload {
            name,
            namespace: "sample",
            account,
            labels: in_mesh(pairs),
            role,
            address: None,
        };
        let hello = |name, kind| {
            let pairs = [("app", "helloworld"), ("name", name), (SIDECAR_LABEL, kind)];
            workload(name, "helloworld", &pairs, Role::Hello { version: name })
        };
        let client = |name, kind| workload(name, "client", &[(SIDECAR_LABEL, kind)], Role::Client);
        let system = |name, namespace, role, address| Workload {
            namespace,
            labels: labels(&[("app", name)]),
            address: Some(address),
            ..workload(name, name, &[], role)
        };
        let [envoy, builtin] = KINDS;
        let plain = Role::Bare { version: "plain" };
        Self {
            clients: vec![client(CLIENTS[0], envoy), client(CLIENTS[1], builtin)],
            here: vec![hello("v1-envoy", envoy), hello("v1-builtin", builtin)],
            there: vec![hello("v2-envoy", envoy), hello("v2-builtin", builtin)],
            plain: workload("plain", "other", &[("app", "plain")], plain),
            gateway: system(GATEWAY, SYSTEM_NAMESPACE, Role::Gateway, pod_address(5)),
            discovery: system(
                DISCOVERY,
                DISCOVERY_NAMESPACE,
                Role::Discovery,
                DISCOVERY_ADDRESS,
            ),
        }
    }

    /// Two clusters that know one another, until both clients know all of helloworld.
    pub(super) async fn assemble<'a>(
        &self,
        peers: &Peers,
        report: &Report,
        scene: &'a mut Scene,
    ) -> Result<&'a mut World> {
        let plans = [plan("c1", "network1", 1), plan("c2", "network2", 2)];
        let world = scene.insert(World::start(peers, &plans).await?);
        world.share_trust().await?;
        world.exchange_secrets().await?;
        try_join_all(world.clusters_mut().map(|cluster| self.mesh(cluster))).await?;
        report.given("two clusters that know one another, with a discovery and a gateway each");

        let c1 = world.cluster_mut("c1");
        c1.serve(&service("plain", &[("app", "plain")], false))
            .await?;
        c1.serve(&service("nobody", &[("app", "nobody")], false))
            .await?;
        for workload in self.here.iter().chain(&self.clients).chain([&self.plain]) {
            c1.scale_up(workload, 1).await?;
        }
        let c2 = world.cluster_mut("c2");
        for name in ["archive-envoy", "archive-builtin"] {
            let behind = name.replace("archive", "v2");
            c2.serve(&service(name, &[("name", &behind)], true)).await?;
        }
        for workload in &self.there {
            c2.scale_up(workload, 1).await?;
        }
        report.given("a client of each kind in c1; helloworld in both, a pod of each kind");

        let expected = BTreeMap::from([("gateway", 2), ("here", 2)]);
        let both = agreed(world, async |client| {
            eventually("the sidecar knows all of helloworld", ARRIVAL, async || {
                let cluster = format!("outbound|80||{HELLOWORLD}");
                let weights = envoy::weights(client, &cluster).await?;
                let mut sums = BTreeMap::new();
                for (address, weight) in &weights {
                    let here = address.starts_with("10.10.0.");
                    let place = if here { "here" } else { "gateway" };
                    *sums.entry(place).or_default() += weight;
                }
                ensure!(sums == expected, "{weights:?}");
                Ok(weights)
            })
            .await
        })
        .await?;
        report.then(&format!("both admin pages show the same weights: {both:?}"));
        Ok(world)
    }

    async fn mesh(&self, cluster: &mut Cluster) -> Result<()> {
        let helloworld = service("helloworld", &[("app", "helloworld")], true);
        cluster.serve_gateway().await?;
        cluster.serve(&helloworld).await?;
        for workload in [&self.discovery, &self.gateway] {
            cluster.scale_up(workload, 1).await?;
        }
        Ok(())
    }
}

/// What both clients get, which must be the same.
pub(super) async fn agreed<T: Debug + PartialEq>(
    world: &World,
    ask: impl AsyncFn(&Pod) -> Result<T>,
) -> Result<T> {
    let [envoy, builtin] = CLIENTS.map(|name| world.cluster("c1").pod(name));
    let (envoy, builtin) = (ask(envoy?).await?, ask(builtin?).await?);
    ensure!(
        envoy == builtin,
        "Envoy: {envoy:?}; the built-in one: {builtin:?}"
    );
    Ok(envoy)
}

fn plan(name: &'static str, network: &'static str, number: u8) -> ClusterPlan {
    ClusterPlan {
        name,
        network,
        trust_domain: "mesh.example",
        region: name,
        zone: name,
        number,
    }
}

fn service(name: &'static str, selector: &[(&str, &str)], exported: bool) -> ServicePlan {
    ServicePlan {
        name,
        namespace: "sample",
        selector: labels(selector),
        exported,
    }
}

fn in_mesh(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut all = labels(pairs);
    all.insert("security.istio.io/tlsMode".to_owned(), "istio".to_owned());
    all
}
