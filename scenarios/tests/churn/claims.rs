//! Who claims to be somebody else than its certificate says is refused, and told what to do.

use anyhow::{Result, bail, ensure};
use scenarios::{
    metric,
    report::Report,
    topology::{GATEWAY, SYSTEM_NAMESPACE},
    verdict::Verdict,
    world::{World, objects::DISCOVERY},
};

use super::cast::{door, metrics, node};

/// A claim: by which account, as which node, of which cluster; how it is counted, and what
/// it is told.
struct Claim {
    fault: &'static str,
    account: &'static str,
    node: String,
    cluster: &'static str,
    counted: &'static str,
    remedy: &'static str,
}

pub(super) async fn are_refused(world: &World, report: &Report) -> Result<()> {
    for (account, kind, namespace) in [
        ("client", "sidecar", "sample"),
        (GATEWAY, "router", SYSTEM_NAMESPACE),
    ] {
        let verdict = ask(world, account, &node(kind, "honest", namespace), "c1").await?;
        ensure!(
            matches!(verdict, Verdict::Told(clusters) if clusters > 0),
            "{account} asks as itself: {verdict:?}"
        );
    }
    for claim in claims() {
        claim.is_refused(world, report).await?;
    }
    Ok(())
}

impl Claim {
    async fn is_refused(&self, world: &World, report: &Report) -> Result<()> {
        let before = self.count(world).await?;
        let verdict = ask(world, self.account, &self.node, self.cluster).await?;
        let Verdict::Refused { code, text } = verdict else {
            bail!("{} is let in: {verdict:?}", self.fault);
        };
        ensure!(code == "PermissionDenied", "{}: {code}: {text}", self.fault);
        ensure!(text.contains(self.remedy), "{}: {text}", self.fault);
        let counted = self.count(world).await? - before;
        ensure!(counted > 0.5, "not counted as {}", self.counted);
        report.then(&format!("{} is refused: {text}", self.fault));
        report.fault(
            "xDS",
            self.fault,
            "PERMISSION_DENIED with what to do, counted by reason",
            format!("refused, counted as {}", self.counted),
        );
        Ok(())
    }

    async fn count(&self, world: &World) -> Result<f64> {
        let page = metrics(world).await?;
        Ok(metric::sum(&page, REFUSED, &[("reason", self.counted)]))
    }
}

fn claims() -> [Claim; 3] {
    [
        Claim {
            fault: "a client whose node claims another namespace than its certificate",
            account: "client",
            node: node("sidecar", "liar", SYSTEM_NAMESPACE),
            cluster: "c1",
            counted: "wrong_namespace",
            remedy: "set the namespace in node.id to the certificate's",
        },
        Claim {
            fault: "a client whose node claims another cluster",
            account: "client",
            node: node("sidecar", "liar", "sample"),
            cluster: "c2",
            counted: "wrong_cluster",
            remedy: "point the proxy at its own cluster's discovery",
        },
        Claim {
            fault: "a client that claims to be a gateway without being listed",
            account: "client",
            node: node("router", "liar", "sample"),
            cluster: "c1",
            counted: "not_a_gateway",
            remedy: "add its namespace and account to `gateways`",
        },
    ]
}

async fn ask(world: &World, account: &str, node: &str, cluster: &str) -> Result<Verdict> {
    let c1 = world.cluster("c1");
    let door = door(c1, account, node);
    let mut arguments = vec!["claim"];
    arguments.extend(door.iter().map(String::as_str));
    arguments.extend(["--cluster", cluster]);
    c1.pod(DISCOVERY)?.ask(&arguments).await
}

const REFUSED: &str = "isthmus_discovery_xds_refused_total";
