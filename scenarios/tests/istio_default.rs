//! An istiod as its chart has it: no stock Envoy takes its configuration. Ours does.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, ensure};
use scenarios::{
    dial::Dialled,
    metric,
    peers::Peers,
    probe::eventually,
    process::{Process, Program},
    report::Report,
    topology::{GATEWAY, Role, Workload, labels},
    world::{
        Cluster, World,
        cluster::istio::{Flavour, GatewayKind, GatewayPlan, ISTIOD},
        pod::Pod,
    },
};
use serde_json::json;

use crate::{istio::plans, setting::ARRIVAL, stage::Scene};

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let [plan, _] = plans();
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

    let wan = cluster.plan().other_gateway();
    let ours = GatewayPlan {
        name: "ours",
        kind: GatewayKind::Ours,
        wan: Some(wan),
        values: json!({}),
    };
    let gateway = cluster.install_gateway(&ours).await?;
    report.when("one of ours starts beside it");
    cluster.scale_up(&gateway, 1).await?;
    let quarantined = cluster
        .pod("ours")?
        .page(15000, "/debug/quarantine")
        .await?;
    let quarantined = quarantined.json()?["quarantine"].clone();
    ensure!(quarantined == json!([]), "{quarantined}");
    report.then("it is ready, and quarantines nothing");
    carries_mesh_tls(world, wan, report).await
}

/// A Service of pods that end the mesh's TLS themselves.
async fn serve_raw(cluster: &mut Cluster) -> Result<()> {
    let raw = Workload {
        name: "raw",
        namespace: "sample",
        account: "client",
        labels: labels(&[("app", "raw"), ("security.istio.io/tlsMode", "istio")]),
        role: Role::Bare { version: "raw" },
        address: None,
    };
    cluster.scale_up(&raw, 1).await?;
    cluster
        .apply(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": "raw", "namespace": "sample" },
            "spec": {
                "selector": { "app": "raw" },
                "ports": [{ "name": "tls", "port": 443, "targetPort": RAW }],
            },
        }))
        .await
}

/// A server in a pod that wants certificates of the mesh's root, by the leaf directory.
fn start_server(pod: &Pod, leaf: &str, log: PathBuf) -> Result<Process> {
    let file = |name: &str| format!("{leaf}/{name}");
    let (chain, key, root) = (
        file("cert-chain.pem"),
        file("key.pem"),
        file("root-cert.pem"),
    );
    let port = RAW.to_string();
    let listen = ["s_server", "-accept", &port, "-www", "-alpn", "istio"];
    let own = ["-cert", &chain, "-cert_chain", &chain, "-key", &key];
    let peers = ["-Verify", "4", "-verify_return_error", "-CAfile", &root];
    let arguments = [&listen[..], &own, &peers].concat();
    let program = Program::new("s_server", Path::new("openssl"), arguments);
    Process::start(program, pod.netns(), log)
}

/// A client and a server that speak the mesh's TLS themselves: no sidecar can be had here.
async fn carries_mesh_tls(world: &mut World, gateway: Ipv4Addr, report: &Report) -> Result<()> {
    let directory = world.run().directory().to_owned();
    let ca = world
        .cluster("c1")
        .directory()
        .join("ca")
        .display()
        .to_string();
    let id = |account| format!("spiffe://cluster.local/ns/sample/sa/{account}");
    let leaf = |account| {
        let out = directory.join(account).display().to_string();
        let what = ["--identity", &id(account), "--out", &out];
        world.isthmus(&[&["trust", "issue", "--ca", &ca], &what[..]].concat())?;
        Ok::<_, anyhow::Error>(out)
    };
    let (server, client) = (leaf("server")?, leaf("client")?);

    let cluster = world.cluster_mut("c1");
    serve_raw(cluster).await?;
    let pod = cluster.pod("raw")?;
    let _server = start_server(pod, &server, directory.join("s_server.log"))?;

    let dial = [
        "tls-dial",
        "--credential",
        &client,
        "--address",
        &format!("{gateway}:15443"),
        "--sni",
        "outbound_.443_._.raw.sample.svc.cluster.local",
        "--expect",
        &id("server"),
        "--host",
        "raw",
    ];
    let answered = eventually(
        "the server answers through our gateway",
        ARRIVAL,
        async || {
            let dialled: Dialled = pod.ask(&dial).await?;
            ensure!(dialled.reason.is_none(), "{dialled:?}");
            Ok(dialled)
        },
    )
    .await?;
    ensure!(
        answered.identity.as_deref() == Some(&id("server")),
        "{answered:?}"
    );
    report.then("a client's mTLS reaches a server through it, each with a certificate of ours");
    Ok(())
}

/// How often istiod was refused.
async fn refusals(istiod: &Pod) -> Result<f64> {
    let page = istiod.page(15014, "/metrics").await?;
    Ok(metric::sum(&page.text, "pilot_total_xds_rejects", &[]))
}

/// Many times what an Envoy takes to be ready or to refuse.
const PATIENCE: Duration = Duration::from_secs(15);
/// Where the server listens that speaks TLS itself.
const RAW: u16 = 5443;
