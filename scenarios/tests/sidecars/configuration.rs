//! What discovery says, says no more, and cannot say.

use std::sync::Arc;

use anyhow::{Result, ensure};
use discovery::model::ServiceKey;
use http::StatusCode;
use scenarios::probe::eventually;
use tokio::net::TcpListener;

use crate::world::{APP_PORT, BYTES_PORT, CLIENT, LONG, Slice, World, endpoint, service};

const APP: &str = "outbound|80||app.sample.svc.cluster.local";

/// While discovery is away all goes on; when it is back, what is the same is not disturbed
/// and what changed meanwhile is taken over.
pub(crate) async fn outlives_discovery() -> Result<()> {
    let mut world = World::start().await?;
    world.ask_until("app.sample", StatusCode::OK).await?;
    world.stop_discovery().await;
    let status = world.client.sidecar.status();
    eventually("the sidecar notices", LONG, async || {
        ensure!(!status.stand().connected, "connected");
        Ok(())
    })
    .await?;
    world.change(|services| {
        services.remove(&ServiceKey::new("sample", "none"));
        let server = endpoint(world.slice, "server", "server", APP_PORT);
        services.extend([service("late", true, vec![server])]);
    });
    let alone = world.ask("app.sample", "/hello").await?;
    ensure!(alone.status == StatusCode::OK, "{alone:?}");
    let late = world.ask("late.sample", "/hello").await?;
    ensure!(late.status == StatusCode::NOT_FOUND, "{late:?}");
    let ready = status.stand();
    ensure!(ready.ready && ready.listeners.len() == 1, "{ready:?}");

    world.start_discovery().await?;
    world.ask_until("late.sample", StatusCode::OK).await?;
    let none = world
        .ask_until("none.sample", StatusCode::NOT_FOUND)
        .await?;
    ensure!(none.text.is_empty(), "{none:?}");
    let again = world.ask("app.sample", "/hello").await?;
    ensure!(again.status == StatusCode::OK, "{again:?}");
    let connections = world.client.field(APP, "cx_total");
    ensure!(connections.as_deref() == Some("1"), "{connections:?}");
    let stand = status.stand();
    ensure!(
        stand.connections == 2 && stand.refusals.values().all(|count| *count == 0),
        "{stand:?}"
    );
    Ok(())
}

/// An endpoint that is withdrawn gets no request more, a service no more either, and both
/// come back.
pub(crate) async fn withdrawn_is_gone() -> Result<()> {
    let world = World::start().await?;
    world.ask_until("app.sample", StatusCode::OK).await?;
    let set = |endpoints| {
        world.change(|services| services.extend([service("app", true, endpoints)]));
    };
    set(Vec::new());
    let gone = world
        .ask_until("app.sample", StatusCode::SERVICE_UNAVAILABLE)
        .await?;
    ensure!(gone.text == "no healthy upstream", "{gone:?}");
    ensure!(world.client.field(APP, "weight").is_none(), "still shown");
    // The pod keeps its own listener for the port: it may be draining.
    let server = world.server.sidecar.status().stand().listeners;
    ensure!(
        server.keys().any(|name| name.starts_with("inbound_")),
        "{server:?}"
    );

    set(vec![endpoint(world.slice, "server", "server", APP_PORT)]);
    world.ask_until("app.sample", StatusCode::OK).await?;
    let mut kept = None;
    world.change(|services| kept = services.remove(&ServiceKey::new("sample", "app")));
    world.ask_until("app.sample", StatusCode::NOT_FOUND).await?;
    world.change(|services| {
        let kept = kept.map(|app| (ServiceKey::new("sample", "app"), Arc::clone(&app)));
        services.extend(kept);
    });
    world.ask_until("app.sample", StatusCode::OK).await?;
    Ok(())
}

/// A cluster that changes around an endpoint leaves its connections alone.
pub(crate) async fn what_stays_is_not_disturbed() -> Result<()> {
    let world = World::start().await?;
    world.ask_until("app.sample", StatusCode::OK).await?;
    let pod = |name, port| endpoint(world.slice, "server", name, port);
    let endpoints = vec![pod("second", BYTES_PORT), pod("server", APP_PORT)];
    world.change(|services| services.extend([service("app", true, endpoints)]));
    let status = world.client.sidecar.status();
    let lines = |field: &str| {
        let page = status.clusters();
        let lines = page.lines().filter(|line| line.starts_with(APP));
        let lines = lines.filter(|line| line.contains(field));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("the second is there", LONG, async || {
        ensure!(lines("::weight::").len() == 2, "{}", status.clusters());
        Ok(())
    })
    .await?;
    let connections = lines("::cx_total::");
    let first = format!(":{APP_PORT}::cx_total::1");
    ensure!(
        connections.iter().any(|line| line.ends_with(&first)),
        "{connections:?}"
    );
    Ok(())
}

/// A listener whose address is taken is opened when it is free, and the sidecar is not ready
/// before.
pub(crate) async fn a_taken_address_is_waited_for() -> Result<()> {
    let slice = Slice::take()?;
    let taken = TcpListener::bind((slice.at(CLIENT), 15001)).await?;
    let world = World::begin(slice).await?;
    let status = world.client.sidecar.status();
    eventually("it is said what is wrong", LONG, async || {
        let stand = status.stand();
        let said = stand
            .problems
            .iter()
            .any(|why| why.starts_with("outbound: "));
        ensure!(said && stand.complete && !stand.ready, "{stand:?}");
        Ok(())
    })
    .await?;
    drop(taken);
    world.is_ready().await?;
    world.ask_until("app.sample", StatusCode::OK).await?;
    Ok(())
}
