//! Envoy's gateway and ours for one network: what `docs/migration.md` says, word for word.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use scenarios::{
    expect::Share,
    guide::Guide,
    load::{Answers, Load},
    metric,
    peers::{Istio, Peers},
    probe::eventually,
    report::Report,
    topology::{GATEWAY, MESH_PORT, Workload},
    world::{
        World,
        cluster::istio::{Flavour, GatewayKind, charted},
        kubelet::OURS,
        pod::Pod,
        terminal::Terminal,
    },
};
use serde_json::json;

use crate::{
    istio::Mesh,
    setting::{ARCHIVE, ARRIVAL, knows, service},
    stage::Scene,
};

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let mesh = Mesh {
        balanced: true,
        ..Mesh::new(Flavour::StockEnvoy, GatewayKind::Envoy)
    };
    let world = mesh.build(peers, report, scene).await?;
    only_c2_serves(world).await?;
    report.given(
        "archive and ledger, which only c2 has; to ledger each request on a connection of its own",
    );

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let mut terminal = world.cluster("c2").terminal()?;
    for (name, value) in [
        ("NETWORK", "network2"),
        ("IMAGE", OURS),
        (
            "CHART",
            &Istio::find()?.chart("gateway").display().to_string(),
        ),
    ] {
        terminal.set(name, value);
    }
    let mut migration = Migration {
        guide: Guide::parse(&fs::read_to_string(page)?),
        gateways: [GATEWAY, ISTHMUS].map(|name| charted(name, None)),
        terminal,
        world,
        report,
    };
    migration.begin().await?;
    migration.with_two_addresses().await?;
    migration.guide.end()
}

/// Two services that c1 knows and c2 serves.
async fn only_c2_serves(world: &World) -> Result<()> {
    for cluster in world.clusters() {
        for name in ["archive", "ledger"] {
            cluster
                .serve(&service(name, &[("version", "v2")], false))
                .await?;
        }
    }
    let fresh = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": { "name": "ledger", "namespace": "sample" },
        "spec": {
            "host": LEDGER,
            "trafficPolicy": { "connectionPool": { "http": { "maxRequestsPerConnection": 1 } } },
        },
    });
    world.cluster("c1").apply(&fresh).await
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
        self.follow("Moving an east-west gateway from Envoy to Isthmus")
            .await
            .map(drop)
    }

    async fn with_two_addresses(&mut self) -> Result<()> {
        self.report
            .when("an operator installs ours beside Envoy's, with an address of its own");
        let said = self.follow("Install Isthmus beside Envoy").await?;
        println!("{said}");
        self.knows(&[self.first(), self.second()]).await?;
        self.is_shared(0.5).await?;

        self.report
            .when("the label goes from Envoy's Service, under a request every 10 ms");
        let traffic = Traffic::start(self.world)?;
        self.follow("Take Envoy's gateway out").await?;
        self.knows(&[self.second()]).await?;
        self.is_empty(GATEWAY).await?;
        self.follow("Stop Envoy").await?;
        traffic
            .is_whole("from Envoy to Isthmus", self.report)
            .await?;

        self.report
            .when("Envoy's comes back, and the label goes from ours");
        let traffic = Traffic::start(self.world)?;
        self.follow("Go back to Envoy").await?;
        self.knows(&[self.first()]).await?;
        self.is_empty(ISTHMUS).await?;
        self.follow("Remove Isthmus").await?;
        traffic.is_whole("back", self.report).await
    }

    fn first(&self) -> String {
        format!("{}:{MESH_PORT}", self.world.cluster("c2").plan().gateway())
    }

    fn second(&self) -> String {
        format!(
            "{}:{MESH_PORT}",
            self.world.cluster("c2").plan().other_gateway()
        )
    }

    async fn knows(&self, gateways: &[String]) -> Result<()> {
        let client = self.world.cluster("c1").pod("client")?;
        knows(client, "archive", gateways).await?;
        knows(client, "ledger", gateways).await
    }

    /// Ours takes this share of connections.
    async fn is_shared(&self, promised: f64) -> Result<()> {
        let client = self.world.cluster("c1").pod("client")?;
        let before = self.opened().await?;
        let answers = Answers::of_requests(client, LEDGER, REQUESTS, 1).await?;
        let lost = answers.lost();
        ensure!(lost.is_empty(), "{} lost: {:?}", lost.len(), lost[0]);
        let share = Share {
            count: self.opened().await? - before,
            trials: REQUESTS as u64,
            promised,
        };
        ensure!(share.holds(), "ours took {share}");
        self.report
            .measured("taken by ours", share, "within 4 sigma");
        Ok(())
    }

    /// The connections that ours has opened for `ledger`.
    async fn opened(&self) -> Result<u64> {
        let ours = self.world.cluster("c2").pod(ISTHMUS)?;
        let page = ours.page(15020, "/stats/prometheus").await?;
        let labels = [("destination_service", LEDGER)];
        let opened = metric::sum(&page.text, "istio_tcp_connections_opened_total", &labels);
        Ok(opened as u64)
    }

    /// Waits until no connection is open to the first pod of a gateway.
    async fn is_empty(&self, gateway: &str) -> Result<()> {
        let pod = self.world.cluster("c2").pod(gateway)?;
        let begin = std::time::Instant::now();
        eventually("all connections have ended", ARRIVAL, async || {
            let open = open(pod)?;
            ensure!(open == 0, "{open} are open");
            Ok(())
        })
        .await?;
        self.report.then(&format!(
            "{gateway} carries nothing after {:?}",
            begin.elapsed()
        ));
        Ok(())
    }
}

/// The connections to a gateway, as its kernel has them.
fn open(pod: &Pod) -> Result<usize> {
    let table = pod
        .netns()
        .within(|| Ok(fs::read_to_string("/proc/thread-self/net/tcp")?))?;
    let port = format!(":{MESH_PORT:04X}");
    let is_open = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().is_some_and(|local| local.ends_with(&port));
        local && fields.nth(1) == Some(ESTABLISHED)
    };
    Ok(table.lines().filter(|line| is_open(line)).count())
}

/// A request every 10 ms to each of the services that only c2 has.
struct Traffic {
    pooled: Load,
    fresh: Load,
}

impl Traffic {
    fn start(world: &World) -> Result<Self> {
        let client = world.cluster("c1").pod("client")?;
        Ok(Self {
            pooled: Load::start(client, ARCHIVE, PACE)?,
            fresh: Load::start(client, LEDGER, PACE)?,
        })
    }

    async fn is_whole(self, what: &str, report: &Report) -> Result<()> {
        for (load, kept) in [(self.pooled, "kept"), (self.fresh, "fresh")] {
            let answers = load.finish().await?;
            let lost = answers.lost();
            ensure!(
                lost.is_empty(),
                "{} of {} lost: {:?}",
                lost.len(),
                answers.len(),
                lost.first()
            );
            report.then(&format!(
                "{what}: none of {} is lost on {kept} connections, the slowest takes {:?}",
                answers.len(),
                answers.slowest()
            ));
        }
        Ok(())
    }
}

const PAGE: &str = "../docs/migration.md";
const ISTHMUS: &str = "isthmus-eastwestgateway";
const LEDGER: &str = "ledger.sample.svc.cluster.local";
const REQUESTS: usize = 1000;
const PACE: Duration = Duration::from_millis(10);
const ESTABLISHED: &str = "01";
