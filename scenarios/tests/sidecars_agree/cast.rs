//! What stands before the story begins, and how both kinds are asked.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use scenarios::{
    envoy,
    peers::Peers,
    probe::eventually,
    report::Report,
    topology::{ClusterPlan, Role, ServicePlan, Workload, in_mesh},
    world::{
        Cluster, World,
        pod::Pod,
        role::{self, SIDECAR_LABEL},
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
        let workload =
            |name, account, pairs: &[_], role| Workload::new(name, account, in_mesh(pairs), role);
        let hello = |name, kind| {
            let pairs = [("app", "helloworld"), ("name", name), (SIDECAR_LABEL, kind)];
            workload(name, "helloworld", &pairs, Role::Hello { version: name })
        };
        let client = |name, kind| workload(name, "client", &[(SIDECAR_LABEL, kind)], Role::Client);
        let [envoy, builtin] = KINDS;
        let plain = Role::Bare { version: "plain" };
        Self {
            clients: vec![client(CLIENTS[0], envoy), client(CLIENTS[1], builtin)],
            here: vec![hello("v1-envoy", envoy), hello("v1-builtin", builtin)],
            there: vec![hello("v2-envoy", envoy), hello("v2-builtin", builtin)],
            plain: workload("plain", "other", &[("app", "plain")], plain),
            gateway: role::gateway(),
            discovery: role::discovery(),
        }
    }

    /// Two clusters that know one another, until both clients know all of helloworld.
    pub(super) async fn assemble<'a>(
        &self,
        peers: &Peers,
        report: &Report,
        scene: &'a mut Scene,
    ) -> Result<&'a mut World> {
        let plans = [1, 2].map(ClusterPlan::numbered);
        let world = scene.insert(World::start(peers, &plans).await?);
        world.share_trust().await?;
        world.exchange_secrets().await?;
        try_join_all(world.clusters_mut().map(|cluster| self.mesh(cluster))).await?;
        report.given("two clusters that know one another, with a discovery and a gateway each");

        let c1 = world.cluster_mut("c1");
        c1.serve(&ServicePlan::new("plain", &[("app", "plain")], false))
            .await?;
        c1.serve(&ServicePlan::new("nobody", &[("app", "nobody")], false))
            .await?;
        for workload in self.here.iter().chain(&self.clients).chain([&self.plain]) {
            c1.scale_up(workload, 1).await?;
        }
        let c2 = world.cluster_mut("c2");
        for name in ["archive-envoy", "archive-builtin"] {
            let behind = name.replace("archive", "v2");
            c2.serve(&ServicePlan::new(name, &[("name", &behind)], true))
                .await?;
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
        let helloworld = ServicePlan::new("helloworld", &[("app", "helloworld")], true);
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
