//! A real Envoy accepts what `isthmus trust` issues, and nothing else.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Result, ensure};
use scenarios::{
    dial::Dialled,
    peers::Peers,
    probe::{self, eventually},
    process::{Process, Program},
    report::Report,
    world::{World, bootstrap::ADMIN_PORT},
};
use serde_json::{Value, json};

use crate::stage::Scene;

const SERVER: &str = "spiffe://mesh.example/ns/sample/sa/helloworld";
const CLIENT: &str = "spiffe://mesh.example/ns/sample/sa/client";
const ADDRESS: &str = "127.0.0.1:8443";

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    peers.envoy()?;
    let world = scene.insert(World::start(peers, &[]).await?);
    let home = world.run().directory();
    for root in ["root", "stranger"] {
        issue(world, root)?;
    }
    report.given("two roots, each with an intermediate for two clusters, and leaves");

    let _envoy = start_envoy(world, peers, &home.join("root/helloworld")).await?;
    report.given("an Envoy with helloworld's leaf that asks for the client's");

    let dial = async |credential: &str, expected: &str| -> Result<Dialled> {
        let credential = home.join(credential).display().to_string();
        let arguments = [
            &[
                "tls-dial",
                "--credential",
                &credential,
                "--address",
                ADDRESS,
            ][..],
            &[
                "--sni",
                "helloworld.sample",
                "--expect",
                expected,
                "--host",
                "helloworld",
            ],
        ];
        let program = Program::new("tls-dial", &peers.app, arguments.concat());
        Ok(serde_json::from_str(&program.run(world.desk()).await?)?)
    };
    let good = dial("root/client", SERVER).await?;
    ensure!(
        good.status.as_deref() == Some("HTTP/1.1 200 OK"),
        "{good:?}"
    );
    report.then("a client of another cluster under the same root is served");

    let wrong = dial("root/other", SERVER).await?;
    let reason = refused(&wrong, "answer", "alert")?;
    counted(world, "fail_verify_san").await?;
    report.then(&format!(
        "another account is refused by Envoy for its name: {reason}"
    ));

    let wrong = dial("mixed", SERVER).await?;
    let reason = refused(&wrong, "answer", "alert")?;
    counted(world, "fail_verify_error").await?;
    report.then(&format!(
        "a client of another root is refused by Envoy for its chain: {reason}"
    ));

    // The two roots have one name: only the signature tells them apart.
    let wrong = dial("stranger/client", SERVER).await?;
    let reason = refused(&wrong, "handshake", "invalid peer certificate")?;
    report.then(&format!(
        "with another root the client refuses Envoy: {reason}"
    ));
    Ok(())
}

/// Envoy has refused exactly one client for this.
async fn counted(world: &World, reason: &str) -> Result<()> {
    let admin = SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT));
    let path = format!("/stats?filter=8443.ssl.{reason}$");
    let page = probe::get(world.desk(), admin, "localhost", &path).await?;
    ensure!(page.text.trim().ends_with(": 1"), "{}", page.text);
    Ok(())
}

/// An Envoy on the desk that serves with this leaf.
async fn start_envoy(world: &World, peers: &Peers, leaf: &Path) -> Result<Process> {
    let config = world.run().directory().join("envoy.json");
    fs::write(&config, serde_json::to_vec(&listener(leaf))?)?;
    let config = config.display().to_string();
    let arguments = [
        "--config-path",
        &config,
        "--concurrency",
        "1",
        "--disable-hot-restart",
    ];
    let envoy = Program::new("envoy", peers.envoy()?, arguments);
    let mut envoy = Process::start(envoy, world.desk(), world.run().logs().join("envoy.log"))?;
    eventually("Envoy is ready", Duration::from_secs(20), async || {
        envoy.check()?;
        let admin = SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT));
        let page = probe::get(world.desk(), admin, "localhost", "/ready").await?;
        ensure!(page.status == 200, "{}", page.text);
        Ok(())
    })
    .await?;
    Ok(envoy)
}

/// A root, two intermediates below it, a server's leaf by one and clients' by
/// the other. `mixed` is the other root's leaf with this root's trust.
fn issue(world: &World, root: &str) -> Result<()> {
    let home = world.run().directory().join(root);
    let path = |name: &str| home.join(name).display().to_string();
    let domain = ["--trust-domain", "mesh.example"];
    world.isthmus(&[&["trust", "init", "--out", &path("ca")], &domain[..]].concat())?;
    for cluster in ["c1", "c2"] {
        let arguments = [
            "trust",
            "intermediate",
            "--ca",
            &path("ca"),
            "--cluster",
            cluster,
        ];
        world.isthmus(&[&arguments[..], &["--out", &path(cluster)]].concat())?;
    }
    for (account, cluster) in [("helloworld", "c2"), ("client", "c1"), ("other", "c1")] {
        let identity = format!("spiffe://mesh.example/ns/sample/sa/{account}");
        let arguments = [
            "trust",
            "issue",
            "--ca",
            &path(cluster),
            "--identity",
            &identity,
        ];
        world.isthmus(&[&arguments[..], &["--out", &path(account)]].concat())?;
    }
    let mixed = world.run().directory().join("mixed");
    fs::create_dir_all(&mixed)?;
    for file in ["cert-chain.pem", "key.pem"] {
        fs::copy(home.join("client").join(file), mixed.join(file))?;
    }
    let root = world.run().directory().join("root/client/root-cert.pem");
    fs::copy(root, mixed.join("root-cert.pem"))?;
    Ok(())
}

/// Why it was refused, when it was at this stage and for a reason like this.
fn refused<'a>(dialled: &'a Dialled, stage: &str, reason: &str) -> Result<&'a str> {
    let said = dialled.reason.as_deref().unwrap_or_default();
    ensure!(
        dialled.stage.as_deref() == Some(stage) && said.contains(reason),
        "wanted a refusal: {dialled:?}"
    );
    Ok(said)
}

/// Answers 200 to the client's identity over mTLS.
fn listener(leaf: &Path) -> Value {
    let file = |name: &str| json!({ "filename": leaf.join(name).display().to_string() });
    let extension = |name: &str| format!("type.googleapis.com/envoy.extensions.{name}");
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": extension("filters.http.router.v3.Router") },
    });
    let http = json!({
        "@type": extension(
            "filters.network.http_connection_manager.v3.HttpConnectionManager"
        ),
        "stat_prefix": "hello",
        "http_filters": [router],
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "direct_response": { "status": 200 } }],
        }] },
    });
    let tls = json!({
        "@type": extension("transport_sockets.tls.v3.DownstreamTlsContext"),
        "require_client_certificate": true,
        "common_tls_context": {
            "tls_certificates": [{
                "certificate_chain": file("cert-chain.pem"),
                "private_key": file("key.pem"),
            }],
            "validation_context": {
                "trusted_ca": file("root-cert.pem"),
                "match_typed_subject_alt_names": [
                    { "san_type": "URI", "matcher": { "exact": CLIENT } },
                ],
            },
        },
    });
    let socket =
        |port: u16| json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    json!({
        "admin": { "address": socket(ADMIN_PORT) },
        "static_resources": { "listeners": [{
            "name": "hello",
            "address": socket(8443),
            "filter_chains": [{
                "filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": http,
                }],
                "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": tls },
            }],
        }] },
    })
}
