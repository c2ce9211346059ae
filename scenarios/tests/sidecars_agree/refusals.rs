//! What is refused is refused alike, and nothing comes in that should not.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use scenarios::{
    dial::Dialled,
    probe::{self, eventually},
    report::Report,
    topology::APP_PORT,
    world::{World, config::leaf_directory, pod::Pod},
};

use super::cast::{ARRIVAL, Cast, HELLOWORLD, KINDS, agreed};

pub(super) async fn are_of_one_kind(world: &World, cast: &Cast, report: &Report) -> Result<()> {
    for (what, host, wanted) in [
        ("an unknown host", "unknown.sample", "404 []"),
        ("an unknown port", "helloworld.sample:81", "404 []"),
        (
            "a service without pods",
            "nobody.sample",
            "503 [no healthy upstream]",
        ),
        ("a server that speaks no TLS", "plain.sample", UNREACHABLE),
    ] {
        let refusal = agreed(world, async |client| refusal(client, host).await).await?;
        ensure!(refusal == wanted, "{what}: {refusal}");
        report.then(&format!("{what}: {refusal} from both"));
    }

    end(world.cluster("c1").pod(cast.plain.name)?)?;
    let gone = agreed(world, async |client| refusal(client, "plain.sample").await).await?;
    ensure!(gone == UNREACHABLE, "{gone}");
    report.then(&format!("a server that is down: {gone} from both"));

    servers(world, report).await?;

    for kind in KINDS {
        end(world.cluster("c2").pod(&format!("v2-{kind}"))?)?;
        let host = format!("archive-{kind}.sample");
        // A connection that was idle may break under the first request.
        agreed(world, async |client| {
            eventually("no connection of before is left", ARRIVAL, async || {
                let refusal = refusal(client, &host).await?;
                ensure!(refusal == UNREACHABLE, "{refusal}");
                Ok(())
            })
            .await
        })
        .await?;
    }
    report.then(&format!(
        "an application that is down, behind each kind: {UNREACHABLE} from both"
    ));
    Ok(())
}

/// Both kinds of servers let the mesh in, and nobody else.
async fn servers(world: &World, report: &Report) -> Result<()> {
    let c1 = world.cluster("c1");
    let mut refusals = Vec::new();
    for kind in KINDS {
        let server = c1.pod(&format!("v1-{kind}"))?;
        let address = SocketAddr::from((server.address(), APP_PORT));
        let client = c1.pod("client-envoy")?;
        let plain = probe::get(client.netns(), address, HELLOWORLD, "/hello").await;
        ensure!(plain.is_err(), "{kind} let plain text in: {plain:?}");
        for (alpn, comes_in) in [("istio", true), ("http/1.1", true), ("unknown", false)] {
            let credential = leaf_directory(c1.directory(), "client");
            let dialled: Dialled = client
                .ask(&[
                    "tls-dial",
                    "--credential",
                    &credential.display().to_string(),
                    "--address",
                    &address.to_string(),
                    "--sni",
                    "anything",
                    "--alpn",
                    alpn,
                    "--expect",
                    &c1.plan().identity("sample", "helloworld"),
                    "--host",
                    HELLOWORLD,
                ])
                .await?;
            let status = dialled.status.as_deref();
            if comes_in {
                ensure!(
                    status == Some("HTTP/1.1 200 OK"),
                    "{kind} {alpn}: {dialled:?}"
                );
            } else {
                refusals.push(format!("{kind} {:?}", dialled.reason.or(dialled.status)));
            }
        }
    }
    report.then("both kinds of servers refuse plain text and take `istio` and `http/1.1`");
    report.then(&format!(
        "where they may differ, a protocol that nobody of the mesh offers: {}",
        refusals.join(", ")
    ));
    Ok(())
}

/// Status and body, without what follows the kind of a failed connection: that text is of
/// the TLS library's or the system's own.
async fn refusal(client: &Pod, host: &str) -> Result<String> {
    let page = client.call(host, "/hello").await?;
    let text = page.text.split(", transport failure reason: ").next();
    Ok(format!("{} [{}]", page.status, text.unwrap_or_default()))
}

/// Kills the application in a pod.
fn end(pod: &Pod) -> Result<()> {
    let app = pod
        .processes()
        .iter()
        .find(|process| process.program().name == "app");
    let id = app.context("no application")?.id();
    let id = Pid::from_raw(i32::try_from(id)?).context("no process id")?;
    Ok(kill_process(id, Signal::KILL)?)
}

const UNREACHABLE: &str = "503 [upstream connect error or disconnect/reset before headers. \
    reset reason: remote connection failure]";
