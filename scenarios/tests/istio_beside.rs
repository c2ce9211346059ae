//! Envoy's gateway and ours for one network: what `docs/migration.md` says, word for word.

mod traffic;

use std::{fs, path::Path, time::Instant};

use anyhow::{Result, ensure};
use scenarios::{
    expect::Share,
    guide::Guide,
    load::Answers,
    metric,
    peers::{Istio, Peers},
    probe::eventually,
    report::Report,
    topology::{GATEWAY, MESH_PORT, ServicePlan, Workload},
    world::{
        World,
        cluster::istio::{Flavour, GatewayKind, charted},
        image::OURS,
        terminal::Terminal,
    },
};
use serde_json::json;

use crate::{
    istio::Mesh,
    setting::{ARRIVAL, knows},
    stage::Scene,
};
use traffic::{Traffic, open};

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let mesh = Mesh {
        balanced: true,
        ..Mesh::new(Flavour::StockEnvoy, GatewayKind::Envoy)
    };
    let world = mesh.build(peers, report, scene).await?;
    only_c2_serves(world).await?;
    report.given("services that only c2 has; connections to some serve one request each");

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let chart = Istio::find()?.chart("gateway").display().to_string();
    let mut terminal = world.cluster("c2").terminal()?;
    for (name, value) in [("NETWORK", "network2"), ("IMAGE", OURS), ("CHART", &chart)] {
        terminal.set(name, value);
    }
    let mut migration = Migration {
        guide: Guide::parse(&fs::read_to_string(page)?),
        gateways: [GATEWAY, ISTHMUS].map(|name| charted(name, None)),
        terminal,
        world,
        report,
    };
    migration.follow("Before you begin").await?;
    migration.begin().await?;
    migration.with_two_addresses().await?;
    migration.with_one_address().await?;
    migration.follow("Remove Isthmus").await?;
    migration.guide.end()
}

/// Two services that c1 knows and c2 serves.
async fn only_c2_serves(world: &World) -> Result<()> {
    for cluster in world.clusters() {
        for name in SERVICES {
            cluster
                .serve(&ServicePlan::new(name, &[("version", "v2")], false))
                .await?;
        }
    }
    for name in ["ledger", "tally"] {
        let fresh = json!({ "http": { "maxRequestsPerConnection": 1 } });
        let rule = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": { "name": name, "namespace": "sample" },
            "spec": { "host": host(name), "trafficPolicy": { "connectionPool": fresh } },
        });
        world.cluster("c1").apply(&rule).await?;
    }
    Ok(())
}

/// A walk through the page.
struct Migration<'a> {
    guide: Guide,
    gateways: [Workload; 2],
    terminal: Terminal,
    world: &'a mut World,
    report: &'a Report,
}

impl Migration<'_> {
    /// Types in what the page has under a heading; after each command Deployments are
    /// followed. Returns what the last one said.
    async fn follow(&mut self, heading: &str) -> Result<String> {
        let mut said = String::new();
        for command in self.guide.step(heading)? {
            said = self.terminal.type_in(&command).await?;
            let cluster = self.world.cluster_mut("c2");
            for gateway in &self.gateways {
                cluster.roll_out(gateway).await?;
            }
        }
        Ok(said)
    }

    async fn begin(&mut self) -> Result<()> {
        let [envoys, _] = self.addresses();
        self.knows(&[&envoys]).await?;
        self.report.when("ours is installed beside Envoy's");
        let traffic = Traffic::start(self.world)?;
        let proxies = self.follow("Install Isthmus beside Envoy").await?;
        self.is_in_sync(&proxies).await?;
        self.takes(0.0).await?;
        traffic.loses_nothing(self.report).await
    }

    async fn with_two_addresses(&mut self) -> Result<()> {
        self.report.when("ours gets an address of its own");
        let [first, second] = self.addresses();
        let mut traffic = Traffic::start(self.world)?;
        self.follow("Give Isthmus an address").await?;
        self.knows(&[&first]).await?;
        self.follow("Tell sidecars of it").await?;
        self.knows(&[&first, &second]).await?;
        self.takes(0.5).await?;

        self.report.when("the label goes from Envoy's Service");
        self.follow("Take Envoy's gateway out").await?;
        self.knows(&[&second]).await?;
        self.takes(1.0).await?;
        self.empties(GATEWAY, &mut traffic).await?;
        self.follow("Stop Envoy").await?;
        traffic.loses_nothing(self.report).await?;

        self.report
            .when("Envoy's comes back, and the label goes from ours");
        let mut traffic = Traffic::start(self.world)?;
        self.follow("Go back to Envoy").await?;
        self.knows(&[&first]).await?;
        self.takes(0.0).await?;
        self.empties(ISTHMUS, &mut traffic).await?;
        self.follow("Take the address away").await?;
        traffic.loses_nothing(self.report).await
    }

    async fn with_one_address(&mut self) -> Result<()> {
        self.report.when("Envoy's Service selects the pods of both");
        let mut traffic = Traffic::start(self.world)?;
        self.follow("Let both carry").await?;
        self.leads_to(&[GATEWAY, ISTHMUS]).await?;
        self.takes(0.5).await?;

        self.report
            .when("it selects ours alone, and tells a second port");
        self.follow("Send new connections to Isthmus").await?;
        self.leads_to(&[ISTHMUS]).await?;
        self.takes(1.0).await?;
        self.follow("Move the connections that are open").await?;
        self.empties(GATEWAY, &mut traffic).await?;
        self.follow("Stop Envoy behind its address").await?;
        traffic.loses_nothing(self.report).await?;

        self.report
            .when("it selects Envoy's again, at the first port");
        let mut traffic = Traffic::start(self.world)?;
        self.follow("Return to Envoy").await?;
        self.leads_to(&[GATEWAY]).await?;
        self.follow("Return to the first port").await?;
        self.takes(0.0).await?;
        self.empties(ISTHMUS, &mut traffic).await?;
        self.follow("Close the second port").await?;
        traffic.loses_nothing(self.report).await
    }

    /// The addresses of Envoy's Service and of ours.
    fn addresses(&self) -> [String; 2] {
        let plan = self.world.cluster("c2").plan();
        [plan.gateway(), plan.other_gateway()].map(|address| format!("{address}:{MESH_PORT}"))
    }

    /// Waits until the client's sidecar knows these gateways of c2 only.
    async fn knows(&self, gateways: &[&String]) -> Result<()> {
        let client = self.world.cluster("c1").pod("client")?;
        let gateways: Vec<String> = gateways.iter().copied().cloned().collect();
        for name in SERVICES {
            knows(client, name, &gateways).await?;
        }
        Ok(())
    }

    /// Waits until new connections to the address of Envoy's Service go to the pods of these
    /// gateways only.
    async fn leads_to(&self, gateways: &[&str]) -> Result<()> {
        let c2 = self.world.cluster("c2");
        eventually("the load balancer has followed", ARRIVAL, async || {
            let rules = c2.node().run("iptables", &["-t", "nat", "-S"])?;
            for gateway in [GATEWAY, ISTHMUS] {
                let target = format!("{}:{MESH_PORT}", c2.pod(gateway)?.address());
                let (is, wanted) = (rules.contains(&target), gateways.contains(&gateway));
                ensure!(is == wanted, "{gateway} is at {target}: {rules}");
            }
            Ok(())
        })
        .await
    }

    /// Of connections that begin now, ours takes this share.
    async fn takes(&self, promised: f64) -> Result<()> {
        let client = self.world.cluster("c1").pod("client")?;
        let before = self.opened().await?;
        let answers = Answers::of_requests(client, &host("tally"), REQUESTS, 1).await?;
        let lost = answers.lost();
        ensure!(lost.is_empty(), "{} lost: {:?}", lost.len(), lost[0]);
        let share = Share {
            count: self.opened().await? - before,
            trials: answers.len() as u64,
            promised,
        };
        ensure!(share.holds(), "ours took {share}");
        self.report
            .measured("new connections to ours", share, "within 4 sigma");
        Ok(())
    }

    /// The connections that ours has opened to `tally`.
    async fn opened(&self) -> Result<u64> {
        let ours = self.world.cluster("c2").pod(ISTHMUS)?;
        let page = ours.page(15020, "/stats/prometheus").await?;
        let tally = host("tally");
        let of = [("destination_service", tally.as_str())];
        let opened = metric::sum(&page.text, "istio_tcp_connections_opened_total", &of);
        Ok(opened as u64)
    }

    /// Waits until a gateway carries nothing but the request that is under way, which then
    /// ends well, and its connection with it.
    async fn empties(&self, gateway: &str, traffic: &mut Traffic) -> Result<()> {
        let pod = self.world.cluster("c2").pod(gateway)?;
        let falls_to = async |wanted| {
            let begin = Instant::now();
            eventually("connections end", ARRIVAL, async || {
                let open = open(pod)?;
                ensure!(open == wanted, "{open} are open, not {wanted}");
                Ok(())
            })
            .await?;
            anyhow::Ok(begin.elapsed().as_millis())
        };
        let waited = falls_to(1).await?;
        traffic.let_go()?;
        let ended = falls_to(0).await?;
        self.report.then(&format!(
            "{gateway} is left: but for one request under way after {waited} ms, {ended} ms after its end by all"
        ));
        Ok(())
    }

    /// Ours is in sync by istiod's words and by its own, and understands all.
    async fn is_in_sync(&self, proxies: &str) -> Result<()> {
        let ours = |line: &str| line.starts_with(ISTHMUS);
        ensure!(proxies.lines().any(ours), "not listed: {proxies}");
        let page = self.world.cluster("c2").pod(ISTHMUS)?;
        let sync = page.page(15000, "/debug/sync").await?.json()?;
        ensure!(
            sync["complete"] == true && sync["quarantine"] == json!([]),
            "{sync}"
        );
        Ok(())
    }
}

/// The name of one of the services.
fn host(service: &str) -> String {
    format!("{service}.sample.svc.cluster.local")
}

const PAGE: &str = "../docs/migration.md";
const ISTHMUS: &str = "isthmus-eastwestgateway";
/// What only c2 has. A connection to the last two serves one request.
const SERVICES: [&str; 3] = ["archive", "ledger", "tally"];
const REQUESTS: usize = 1000;
