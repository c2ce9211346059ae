//! A real Istio of two networks: with its own gateways, what ours is measured against.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use scenarios::{
    envoy,
    load::Load,
    peers::Peers,
    probe::eventually,
    report::Report,
    topology::{GATEWAY, MESH_PORT, SYSTEM_NAMESPACE},
    world::{
        World,
        cluster::istio::{Flavour, GatewayKind, GatewayPlan, ISTIOD},
        image::OURS,
    },
};
use serde_json::json;

use crate::{
    helloworld::{is_shared, v2_sees_it_as},
    istio::{CLIENT_ID, Mesh},
    setting::{ARRIVAL, HELLOWORLD, outbound, weighs},
    stage::Scene,
};

pub(crate) async fn story(
    gateway: GatewayKind,
    peers: &Peers,
    report: &Report,
    scene: &mut Scene,
) -> Result<()> {
    let mesh = Mesh::new(Flavour::StockEnvoy, gateway);
    let world = mesh.build(peers, report, scene).await?;

    report.when("a client in c1 sends 2,000 requests, each with a nonce of its own");
    is_shared(world, 0.5, 1, report).await?;
    is_who_it_is(world, report).await?;
    report.when("v2 gets a second pod");
    world.cluster_mut("c2").scale_up(&mesh.v2, 2).await?;
    weighs(world, 1, 2).await?;
    is_shared(world, 2.0 / 3.0, 1, report).await?;

    goes_on_while_istiod_restarts(world, report).await?;
    world
        .cluster_mut("c2")
        .scale_down(&mesh.v2, 1, Duration::ZERO)
        .await?;
    weighs(world, 1, 1).await?;
    report.then("the client's sidecar is told when a pod of v2 goes");

    injects_ours_as_its_own(world, report).await?;
    second_gateway_stands(world, gateway, report).await?;
    statuses_are_shown(world, report).await
}

async fn is_who_it_is(world: &World, report: &Report) -> Result<()> {
    let client = world.cluster("c1").pod("client")?;
    v2_sees_it_as(client, CLIENT_ID, ("c1", "c2"), world).await?;
    report.then(&format!("v2 sees {CLIENT_ID}, signed by c1's intermediate"));
    Ok(())
}

async fn goes_on_while_istiod_restarts(world: &mut World, report: &Report) -> Result<()> {
    let load = Load::start(world.cluster("c1").pod("client")?, HELLOWORLD, PACE)?;
    let istiod = world.cluster_mut("c1").pod_mut(ISTIOD)?;
    istiod.start_again()?;
    eventually("istiod is ready again", ARRIVAL, async || {
        istiod.is_ready().await
    })
    .await?;
    let answers = load.finish().await?;
    let lost = answers.lost();
    ensure!(lost.is_empty(), "{} lost: {:?}", lost.len(), lost[0]);
    report.then(&format!(
        "istiod of c1 restarts under a request every {PACE:?}: none of {} is lost",
        answers.len()
    ));
    Ok(())
}

/// The injector makes of a gateway that names our image what it makes of its own. What runs
/// is not touched: nobody rolls a Deployment out here.
async fn injects_ours_as_its_own(world: &mut World, report: &Report) -> Result<()> {
    let cluster = world.cluster_mut("c1");
    let wan = Some(cluster.plan().gateway());
    let mut injected = Vec::new();
    for kind in [GatewayKind::Envoy, GatewayKind::Ours] {
        let gateway = GatewayPlan {
            name: GATEWAY,
            kind,
            wan,
            values: json!({}),
        };
        let gateway = cluster.install_gateway(&gateway).await?;
        injected.push(cluster.rehearse(&gateway).await?);
    }
    let [theirs, mut ours] = injected.try_into().map_err(|_| anyhow::anyhow!("two"))?;
    ensure!(ours.image == OURS && theirs.image != OURS, "{}", ours.image);
    ours.image.clone_from(&theirs.image);
    ensure!(
        ours == theirs,
        "injected ours: {ours:?}\ntheirs: {theirs:?}"
    );

    let of = |name: &str| ours.environment.get(name).map(String::as_str);
    for (name, value) in [
        ("ISTIO_META_NETWORK", "network1"),
        ("ISTIO_META_REQUESTED_NETWORK_VIEW", "network1"),
        ("ISTIO_META_CLUSTER_ID", "c1"),
        ("ISTIO_META_WORKLOAD_NAME", GATEWAY),
        ("POD_NAMESPACE", SYSTEM_NAMESPACE),
        ("SERVICE_ACCOUNT", GATEWAY),
        ("CA_ADDR", "istiod.istio-system.svc:15012"),
    ] {
        ensure!(of(name) == Some(value), "{name} is {:?}", of(name));
    }
    let domain = format!("{SYSTEM_NAMESPACE}.svc.cluster.local");
    let begin = ["proxy", "router", "--domain", &domain];
    ensure!(
        ours.arguments.starts_with(&begin.map(String::from)),
        "{:?}",
        ours.arguments
    );
    for path in [
        "/var/run/secrets/tokens",
        "/var/run/secrets/istio",
        "/etc/istio/pod",
    ] {
        ensure!(
            ours.mounts.contains_key(Path::new(path)),
            "no {path}: {:?}",
            ours.mounts
        );
    }
    report.then("istiod injects a gateway with our image as its own: the same but for the image");
    Ok(())
}

/// Two gateways of one network: the client in c1 knows both of c2.
async fn second_gateway_stands(
    world: &mut World,
    kind: GatewayKind,
    report: &Report,
) -> Result<()> {
    let cluster = world.cluster_mut("c2");
    let plan = GatewayPlan {
        name: "istio-eastwestgateway-b",
        kind,
        wan: Some(cluster.plan().other_gateway()),
        values: json!({ "resources": { "limits": { "cpu": "1" } } }),
    };
    let gateway = cluster.install_gateway(&plan).await?;
    cluster.scale_up(&gateway, 1).await?;
    let addresses = [cluster.plan().gateway(), cluster.plan().other_gateway()];
    let client = world.cluster("c1").pod("client")?;
    eventually(
        "the client knows both gateways of c2",
        ARRIVAL,
        async || {
            let weights = envoy::weights(client, &outbound("helloworld")).await?;
            let of = |address| weights.get(&format!("{address}:{MESH_PORT}"));
            let [first, second] = addresses.map(of);
            ensure!(first.is_some() && first == second, "has {weights:?}");
            Ok(())
        },
    )
    .await?;
    is_shared(world, 0.5, 1, report).await?;
    report.then("a second gateway of c2 takes its part");
    Ok(())
}

/// Every proxy is listed, and what the gateways were sent they have.
async fn statuses_are_shown(world: &World, report: &Report) -> Result<()> {
    for (cluster, proxies) in [("c1", 3), ("c2", 4)] {
        let gateway = eventually("istioctl says that it is synced", ARRIVAL, async || {
            let shown = world.cluster(cluster).proxy_status()?;
            let lines: Vec<&str> = shown.lines().skip(1).collect();
            ensure!(lines.len() == proxies, "istioctl proxy-status says {shown}");
            let mut gateways = lines.iter().filter(|line| line.starts_with(GATEWAY));
            let synced = |line: &&&str| {
                let is = |state| line.matches(state).count();
                is("SYNCED") >= 3 && is("STALE") + is("ERROR") + is("NOT SENT") == 0
            };
            let gateway = gateways.find(synced);
            let gateway = gateway.with_context(|| format!("no gateway is synced: {shown}"))?;
            let words: Vec<&str> = gateway.split_whitespace().collect();
            Ok(words.join(" "))
        })
        .await?;
        report.then(&format!("istioctl proxy-status of {cluster}: {gateway}"));
    }
    Ok(())
}

const PACE: Duration = Duration::from_millis(10);
