//! What becomes of requests.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use anyhow::{Context, Result, ensure};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Bytes, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use scenarios::{content::Content, probe::eventually, witness::ClientCertificate};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::world::{Answer, LONG, World, ask, id};

const APP: &str = "app.sample.svc.cluster.local";

impl Answer {
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("{self:?}"))
    }

    fn is(&self, status: StatusCode, begin: &str) -> Result<()> {
        ensure!(
            self.status == status && self.text.starts_with(begin),
            "wanted {status} {begin}: {self:?}"
        );
        Ok(())
    }
}

pub(crate) async fn crosses() -> Result<()> {
    let world = World::start().await?;
    for host in [APP, "app.sample.svc.cluster.local:80", "app", "APP.sample"] {
        let request = Request::get("/hello")
            .header("host", host)
            .header("x-forwarded-client-cert", "URI=spiffe://forged")
            .header("connection", "keep-alive")
            .body(Empty::new())?;
        let answer = ask(world.client.outbound, request).await?.json()?;
        ensure!(answer["host"] == host, "{answer}");
        let header = answer["clientCertificate"].as_str().context("no client")?;
        let by = format!("By={};Hash=", id("sample", "server"));
        ensure!(header.starts_with(&by), "{header}");
        let seen = ClientCertificate::parse(header)?;
        ensure!(
            seen.uris == [id("sample", "client").to_string()],
            "{header}"
        );
        ensure!(seen.is_signed_by(world.ca.certificate().der())?, "{header}");
    }
    // One client, one server: one connection carries all.
    let cluster = "outbound|80||app.sample.svc.cluster.local";
    let connections = world.client.field(cluster, "cx_total");
    ensure!(connections.as_deref() == Some("1"), "{connections:?}");
    let requests = world.client.field(cluster, "rq_total");
    ensure!(requests.as_deref() == Some("4"), "{requests:?}");
    let active = world.client.field(cluster, "rq_active");
    ensure!(active.as_deref() == Some("0"), "{active:?}");
    Ok(())
}

pub(crate) async fn refused_as_by_envoy() -> Result<()> {
    let world = World::start().await?;
    let unknown = world.ask("unknown.sample", "/hello").await?;
    unknown.is(StatusCode::NOT_FOUND, "")?;
    let other_port = world.ask("app.sample:81", "/hello").await?;
    other_port.is(StatusCode::NOT_FOUND, "")?;
    let none = world.ask("none.sample", "/hello").await?;
    none.is(StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream")?;
    let request = Request::get("/hello").body(Empty::<Bytes>::new())?;
    let nobody = ask(world.client.outbound, request).await?;
    nobody.is(StatusCode::BAD_REQUEST, "")?;
    let request = Request::connect(format!("{APP}:80")).body(Empty::<Bytes>::new())?;
    let tunnel = ask(world.client.outbound, request).await?;
    tunnel.is(StatusCode::NOT_FOUND, "")
}

pub(crate) async fn a_loss_is_a_loss() -> Result<()> {
    let world = World::start().await?;
    let broken = world.ask("broken.sample", "/hello").await?;
    let begin = "upstream connect error or disconnect/reset before headers. reset reason: \
        connection termination";
    broken.is(StatusCode::SERVICE_UNAVAILABLE, begin)?;
    let tries = world.app.counts.broken.load(Relaxed);
    ensure!(tries == 1, "it was tried {tries} times");
    Ok(())
}

/// The application is held back by a client that does not read, and a body that is longer
/// than any buffer comes back whole.
pub(crate) async fn bodies_are_not_collected() -> Result<()> {
    let world = World::start().await?;
    let stream = TokioIo::new(TcpStream::connect(world.client.outbound).await?);
    let (mut sender, connection) = conn::http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/endless").header("host", APP);
    let answer = sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    let taken = async || {
        let before = world.app.counts.taken.load(Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let after = world.app.counts.taken.load(Relaxed);
        ensure!(
            before == after && before > 0,
            "{before} and then {after} bytes"
        );
        Ok(after)
    };
    let held = eventually("the application is held back", LONG, taken).await?;
    // What is on its way lies in the sockets: six of them, a few MiB each at most.
    ensure!(held < 64 << 20, "{held} bytes were taken in");
    drop((answer, sender));
    connection.abort();

    let body: Vec<u8> = (0..320)
        .flat_map(|seed| Content::new(seed).block(u64::MAX))
        .collect();
    let request = Request::post("/echo").header("host", APP);
    let request = request.body(Full::new(Bytes::from(body.clone())))?;
    let stream = TokioIo::new(TcpStream::connect(world.client.outbound).await?);
    let (mut sender, connection) = conn::http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let echo = answer.into_body().collect().await?.to_bytes();
    ensure!(
        echo == body,
        "{} bytes came back of {}",
        echo.len(),
        body.len()
    );
    drop(sender);
    connection.await??;
    Ok(())
}

pub(crate) async fn bytes_pass() -> Result<()> {
    let world = World::start().await?;
    let answer = world.ask("bytes.sample", "/hello").await?.json()?;
    ensure!(answer["host"] == "bytes.sample", "{answer}");
    ensure!(answer["clientCertificate"].is_null(), "{answer}");
    Ok(())
}

pub(crate) async fn two_versions_come_in() -> Result<()> {
    let world = World::start().await?;
    let stream = TokioIo::new(TcpStream::connect(world.client.outbound).await?);
    let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), stream).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("http://{APP}/hello")).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    ensure!(answer.status() == StatusCode::OK, "{answer:?}");
    let body = answer.into_body().collect().await?.to_bytes();
    let told: Value = serde_json::from_slice(&body)?;
    ensure!(told["host"] == APP, "{told}");
    drop(sender);
    connection.await??;
    Ok(())
}
