//! What a route limits: how many connections, how long, how long without a byte.

use std::time::Duration;

use tokio::time::Instant;

use crate::world::*;

/// A gateway with one route to this endpoint, with one more line.
fn bounded(bound: &str, endpoint: std::net::SocketAddr) -> World {
    let text = routes(SNI, &[endpoint]);
    let text = text.replacen("    endpoints:", &format!("    {bound}\n    endpoints:"), 1);
    World::with_routes("", &text)
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_counted_and_room_is_made_by_an_end() {
    let (listener, address) = endpoint().await;
    let world = bounded("maxConnections: 1", address);
    let first = world.say_hello().await;
    let (server, _) = take(&listener).await;
    let mut second = world.say_hello().await;
    read_out(&mut second).await;
    world.until_closed("overflow", 1.0).await;
    let flagged = world.metric(
        "istio_tcp_connections_closed_total",
        &["response_flags=\"UO\""],
    );
    assert_eq!(flagged, 1.0);
    drop((first, server));
    eventually("the first is over", || {
        world.metric("isthmus_eastwest_connections_open", &[]) == 0.0
    })
    .await;
    let _third = world.say_hello().await;
    take(&listener).await;
}

#[tokio::test]
async fn a_connection_ends_at_its_longest_life_and_a_silent_one_at_its_own_limit() {
    for (bound, reason) in [
        ("maxDuration: 300ms", "too_old"),
        ("idleTimeout: 300ms", "idle"),
    ] {
        let (listener, address) = endpoint().await;
        let world = bounded(bound, address);
        let begun = Instant::now();
        let mut client = world.say_hello().await;
        let _server = take(&listener).await;
        read_out(&mut client).await;
        assert!(begun.elapsed() >= Duration::from_millis(300), "{reason}");
        world.until_closed(reason, 1.0).await;
    }
}
