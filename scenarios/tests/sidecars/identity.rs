//! Who is believed, and certificates that change.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use scenarios::{probe::eventually, witness::ClientCertificate};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{APP_PORT, LONG, SERVER, World, ask, endpoint, service, touch_authority};

pub(crate) async fn a_wrong_one_is_refused() -> Result<()> {
    let world = World::start().await?;
    let answer = world.ask("impostor.sample", "/hello").await?;
    ensure!(
        answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.text.starts_with(UNVERIFIED),
        "{answer:?}"
    );
    // The same address under its own name.
    world.ask_until("app.sample", StatusCode::OK).await?;
    Ok(())
}

/// A connection that stands from when its other end was believed is not used any more.
pub(crate) async fn no_longer_believed() -> Result<()> {
    let world = World::start().await?;
    world.ask_until("app.sample", StatusCode::OK).await?;
    let other = endpoint(world.slice, "other", "impostor", APP_PORT);
    let server = endpoint(world.slice, "server", "server", APP_PORT);
    let services = [
        service("app", true, vec![other]),
        // The pod still answers at that port.
        service("still", true, vec![server]),
    ];
    world.change(|all| all.extend(services));
    let refused = StatusCode::SERVICE_UNAVAILABLE;
    let refused = world.ask_until("app.sample", refused).await?;
    ensure!(refused.text.starts_with(UNVERIFIED), "{refused:?}");
    world.ask_until("still.sample", StatusCode::OK).await?;
    Ok(())
}

pub(crate) async fn nobody_comes_in_without_one() -> Result<()> {
    let world = World::start().await?;
    let inbound = SocketAddr::new(world.slice.at(SERVER), APP_PORT);
    let request = Request::get("/hello").header("host", "app");
    let plain = ask(inbound, request.body(Empty::<Bytes>::new())?).await;
    ensure!(plain.is_err(), "plain text came in: {plain:?}");
    let mut stream = TcpStream::connect(inbound).await?;
    stream
        .write_all(b"GET /hello HTTP/1.1\r\nhost: app\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    // A TLS alert, or a reset.
    let _ = stream.read_to_end(&mut answer).await;
    ensure!(!answer.starts_with(b"HTTP"), "{answer:?}");
    Ok(())
}

/// New leaves, first on a stream that stands, then by an SDS that was away: connections live
/// on, new ones show the new leaf, and no request fails.
pub(crate) async fn replaced_under_way() -> Result<()> {
    let mut world = World::start().await?;
    let stream = TokioIo::new(TcpStream::connect(world.client.outbound).await?);
    let (mut sender, connection) = http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let mut call = async || -> Result<Vec<u8>> {
        let request = Request::get("/hello").header("host", "app");
        let answer = sender
            .send_request(request.body(Empty::<Bytes>::new())?)
            .await?;
        ensure!(answer.status() == StatusCode::OK, "{answer:?}");
        let body = answer.into_body().collect().await?.to_bytes();
        let told: Value = serde_json::from_slice(&body)?;
        let header = told["clientCertificate"].as_str().context("no client")?;
        let seen = ClientCertificate::parse(header)?;
        Ok(seen.chain.first().context("no leaf")?.to_vec())
    };
    let first = call().await?;

    touch_authority(&world.place)?;
    let second = renewed(&world, &first).await?;
    ensure!(
        call().await? == first,
        "a connection that lives has another leaf"
    );

    world.stop_secrets().await;
    ensure!(call().await? == first, "without SDS");
    ensure!(leaf(&world).await? == second, "without SDS");
    world.start_secrets().await?;
    renewed(&world, &second).await?;
    drop(sender);
    connection.await??;
    Ok(())
}

/// The leaf that a new connection shows, once it is another.
async fn renewed(world: &World, before: &[u8]) -> Result<Vec<u8>> {
    eventually("a new connection shows a new leaf", LONG, async || {
        let leaf = leaf(world).await?;
        ensure!(leaf != before, "the leaf of before");
        Ok(leaf)
    })
    .await
}

/// The leaf that a new connection shows: a service that is new has no other.
async fn leaf(world: &World) -> Result<Vec<u8>> {
    let name = format!("fresh-{}", world.mesh.borrow().generation);
    let server = endpoint(world.slice, "server", "server", APP_PORT);
    world.change(|services| services.extend([service(&name, true, vec![server])]));
    let answer = world.ask_until(&name, StatusCode::OK).await?.json()?;
    let header = answer["clientCertificate"].as_str().context("no client")?;
    let seen = ClientCertificate::parse(header)?;
    Ok(seen.chain.first().context("no leaf")?.to_vec())
}

const UNVERIFIED: &str = "upstream connect error or disconnect/reset before headers. reset \
    reason: remote connection failure, transport failure reason: ";
