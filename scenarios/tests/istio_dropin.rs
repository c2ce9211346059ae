//! Our gateway where Istio's was, beyond carrying requests: what a pod, an operator and an
//! istiod expect of it, and what it does while there is no control plane.

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use scenarios::{
    load::Load,
    metric,
    peers::Peers,
    probe::eventually,
    report::Report,
    topology::{GATEWAY, Role, ServicePlan, Workload, labels},
    world::{
        Cluster, World,
        cluster::istio::{Flavour, GatewayKind, ISTIOD},
        pod::Pod,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    helloworld::v2_sees_it_as,
    istio::{CLIENT_ID, Mesh},
    setting::{ARCHIVE, ARRIVAL},
    stage::Scene,
};

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let mesh = Mesh::new(Flavour::StockEnvoy, GatewayKind::Ours);
    let world = mesh.build(peers, report, scene).await?;
    for name in ["c1", "c2"] {
        let cluster = world.cluster(name);
        is_seen_as_synced(cluster, report).await?;
        shows_its_pages(cluster, report).await?;
    }
    carries_the_control_plane(world, report).await?;
    closes_all_other_names(world.cluster("c1"), report).await?;
    outlives_its_api_server(world, report).await
}

/// istiod has an answer to everything that it sent.
async fn is_seen_as_synced(cluster: &Cluster, report: &Report) -> Result<()> {
    let istiod = cluster.pod(ISTIOD)?;
    let synced = eventually("istiod sees it as synced", ARRIVAL, async || {
        let all = istiod.page(8080, "/debug/syncz").await?.json()?;
        let all = all.as_array().context("no list")?;
        let own = |one: &&serde_json::Value| {
            let name = one["proxy"].as_str().unwrap_or_default();
            name.starts_with(GATEWAY)
        };
        let own = all.iter().find(own).context("istiod does not know it")?;
        for kind in ["cluster", "listener", "endpoint"] {
            let [sent, acked] = ["sent", "acked"].map(|end| &own[format!("{kind}_{end}")]);
            ensure!(sent.is_string() && sent == acked, "{kind}: {own}");
        }
        Ok(own["proxy"].to_string())
    })
    .await?;
    report.then(&format!(
        "istiod sees {synced} as synced: all it sent is acknowledged"
    ));
    Ok(())
}

/// Where Istio's own has them, for probes and Prometheus.
async fn shows_its_pages(cluster: &Cluster, report: &Report) -> Result<()> {
    let gateway = cluster.pod(GATEWAY)?;
    let ready = gateway.page(15021, "/healthz/ready").await?;
    ensure!(ready.status == 200, "15021 says {}", ready.status);
    for port in [15020, 15090] {
        let page = gateway.page(port, "/stats/prometheus").await?;
        let known = page.text.contains("istio_build{component=\"proxy\"");
        ensure!(page.status == 200 && known, "{port} says {}", page.text);
    }
    let unknown = metric_of(gateway, "isthmus_eastwest_quarantined_resources", &[]).await?;
    ensure!(unknown == 0.0, "{unknown} quarantined");
    let name = &cluster.plan().name;
    report.then(&format!(
        "{name}: ready on 15021, metrics on 15020 and 15090, nothing quarantined"
    ));
    Ok(())
}

/// A sidecar in c2 that has its configuration and its certificate from c1's istiod, through
/// our gateway.
async fn carries_the_control_plane(world: &mut World, report: &Report) -> Result<()> {
    let c1 = world.cluster("c1").plan().gateway();
    let remote = Workload {
        name: "remote",
        namespace: "sample",
        account: "client",
        labels: labels(&[("app", "remote")]),
        role: Role::Injected {
            version: None,
            istiod: Some(c1),
        },
        address: None,
    };
    report.when("a sidecar in c2 is told to find istiod at c1's gateway");
    let c2 = world.cluster_mut("c2");
    c2.scale_up(&remote, 1).await?;
    let pod = world.cluster("c2").pod("remote")?;
    v2_sees_it_as(pod, CLIENT_ID, ("c1", "c2"), world).await?;
    let known = world
        .cluster("c1")
        .pod(ISTIOD)?
        .page(8080, "/debug/syncz")
        .await?;
    ensure!(
        known.text.contains(&format!("{}.sample", pod.name())),
        "c1's istiod does not know it"
    );
    report.then("it is ready: configured by c1's istiod, with a certificate of c1's intermediate");
    Ok(())
}

async fn closes_all_other_names(cluster: &Cluster, report: &Report) -> Result<()> {
    let gateway = cluster.pod(GATEWAY)?;
    let at = |port| SocketAddr::from((cluster.plan().gateway(), port));
    for port in [15012, 15017] {
        for (name, alpn) in [
            ("kubernetes.default.svc", "h2"),
            ("istiod.sample.svc", "istio"),
        ] {
            is_closed(gateway, at(port), &hello(name, alpn)?, "name_not_listed").await?;
        }
        let plain = b"GET /debug/adsz HTTP/1.1\r\nhost: istiod\r\n\r\n";
        is_closed(gateway, at(port), plain, "not_tls").await?;
        let name = "istiod.istio-system.svc";
        let answer = answer(at(port), &hello(name, "h2")?).await?;
        ensure!(
            answer == Answer::Bytes,
            "{port}: {answer:?} for istiod's own name"
        );
    }
    report.then("15012 and 15017 carry istiod's names, and close all others and plain text");
    Ok(())
}

/// What a client gets to see first.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Bytes,
    Reset,
    End,
}

async fn answer(at: SocketAddr, says: &[u8]) -> Result<Answer> {
    let mut client = TcpStream::connect(at).await?;
    client.write_all(says).await?;
    let mut byte = [0];
    match tokio::time::timeout(ARRIVAL, client.read(&mut byte)).await? {
        Ok(0) => Ok(Answer::End),
        Ok(_) => Ok(Answer::Bytes),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Answer::Reset),
        Err(error) => Err(error.into()),
    }
}

async fn is_closed(gateway: &Pod, at: SocketAddr, says: &[u8], reason: &str) -> Result<()> {
    let labels = [("reason", reason)];
    let name = "isthmus_eastwest_connections_closed_total";
    let before = metric_of(gateway, name, &labels).await?;
    let answer = answer(at, says).await?;
    ensure!(answer == Answer::Reset, "{at}: {answer:?} for {reason}");
    eventually("it is counted", ARRIVAL, async || {
        let now = metric_of(gateway, name, &labels).await?;
        ensure!(
            now > before,
            "{at}: {reason} counted {now} times, as before"
        );
        Ok(())
    })
    .await
}

async fn metric_of(gateway: &Pod, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
    let page = gateway.page(15020, "/stats/prometheus").await?;
    Ok(metric::sum(&page.text, name, labels))
}

/// The first bytes of a TLS client.
fn hello(sni: &str, alpn: &str) -> Result<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.into()];
    let name = ServerName::try_from(sni.to_owned())?;
    let mut client = ClientConnection::new(Arc::new(config), name)?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes)?;
    Ok(bytes)
}

/// A service of c2 alone, once c1's client reaches it and c2's gateway has written it down.
async fn serve_what_only_c2_has(world: &mut World) -> Result<()> {
    let archive = ServicePlan::new("archive", &[("version", "v2")], false);
    for cluster in world.clusters_mut() {
        cluster.serve(&archive).await?;
    }
    let client = world.cluster("c1").pod("client")?;
    eventually(
        "c1's client reaches what only c2 has",
        ARRIVAL,
        async || {
            let answer = client.call(ARCHIVE, "/hello").await?.json()?;
            ensure!(answer["version"] == "v2", "{answer}");
            Ok(())
        },
    )
    .await?;
    let c2 = world.cluster("c2").pod(GATEWAY)?;
    let table = c2.outside(Path::new("/var/lib/istio/data/isthmus/table"))?;
    eventually("c2's gateway has written it down", ARRIVAL, async || {
        let kept = fs::read_to_string(&table)?;
        ensure!(kept.contains("archive"), "{kept}");
        Ok(())
    })
    .await
}

/// The gateway of c2 restarts while c2's API server, and so its istiod, can say nothing.
async fn outlives_its_api_server(world: &mut World, report: &Report) -> Result<()> {
    serve_what_only_c2_has(world).await?;
    report.when("c2's API server dies, and then c2's gateway is killed and started anew");
    world.cluster_mut("c2").stop_api();
    let load = Load::start(world.cluster("c1").pod("client")?, ARCHIVE, PACE)?;
    let gateway = world.cluster_mut("c2").pod_mut(GATEWAY)?;
    gateway.start_again()?;
    let began = Instant::now();
    eventually("it is ready", ARRIVAL, async || gateway.is_ready().await).await?;
    let ready = began.elapsed();
    tokio::time::sleep(AFTERWARDS).await;
    let answers = load.finish().await?;
    let lost = answers.lost().len();
    let last = answers.lost().last().map(|answer| format!("{answer:?}"));
    report.measured(
        "from start to ready without istiod",
        format!("{ready:?}, {lost} of {} requests lost", answers.len()),
        "ready at once; lost only while it was down",
    );
    ensure!(ready < Duration::from_secs(5), "ready after {ready:?}");
    let after = answers.after(SystemTime::now() - AFTERWARDS + Duration::from_secs(1));
    ensure!(
        after.lost().is_empty() && !after.is_empty(),
        "{} of {} lost after it was ready: {last:?}",
        after.lost().len(),
        after.len()
    );
    let c2 = world.cluster("c2").pod(GATEWAY)?;
    let sync = c2.page(15000, "/debug/sync").await?.json()?;
    ensure!(
        sync["remembered"] == true && sync["connected"] == false,
        "{sync}"
    );
    report.then("it serves what it knew, and says that it is from before");

    world.cluster_mut("c2").start_api().await?;
    let c2 = world.cluster("c2").pod(GATEWAY)?;
    eventually("it is in touch with istiod again", REUNION, async || {
        let sync = c2.page(15000, "/debug/sync").await?.json()?;
        ensure!(
            sync["remembered"] == false && sync["connected"] == true,
            "{sync}"
        );
        Ok(())
    })
    .await?;
    report.then("the API server is back: it has heard all anew");
    Ok(())
}

const PACE: Duration = Duration::from_millis(20);
const AFTERWARDS: Duration = Duration::from_secs(4);
/// Its own waits end at 10 s; istiod's for its API server are its own.
const REUNION: Duration = Duration::from_secs(120);
