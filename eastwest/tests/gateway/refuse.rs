//! Connections that do not pass: each ends as Envoy ends it, with a reason of its own.

use std::{io::ErrorKind, time::Duration};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::world::*;

/// Sends bytes and says how the gateway ended the connection.
async fn ends(world: &World, bytes: &[u8]) -> Option<ErrorKind> {
    let mut client = world.connect().await;
    client.write_all(bytes).await.unwrap();
    let (answer, end) = read_out(&mut client).await;
    assert_eq!(answer, b"", "nothing is ever said to a client");
    end
}

#[tokio::test]
async fn who_may_not_pass_is_reset_and_counted_by_reason() {
    let (_listener, address) = endpoint().await;
    let world = World::to("hello: { bytes: 4KiB }", &[address]);
    let mut long = hello_with(Some(SNI), &[b"istio"]);
    long[3..5].copy_from_slice(&[0x40, 0]);
    long[6..9].copy_from_slice(&[0, 0x3f, 0]);
    for (reason, bytes) in [
        (
            "unknown_sni",
            hello("outbound_.80_._.other.sample.svc.cluster.local"),
        ),
        ("no_sni", hello_with(None, &[b"istio"])),
        ("no_mesh_alpn", hello_with(Some(SNI), &[])),
        ("no_mesh_alpn", hello_with(Some(SNI), &[b"h2", b"http/1.1"])),
        (
            "not_tls",
            b"GET / HTTP/1.1\r\nHost: helloworld\r\n\r\n".to_vec(),
        ),
        ("bad_hello", vec![22, 3, 1, 0, 4, 2, 0, 0, 0]),
        ("hello_too_long", long),
    ] {
        let before = world.closed(reason);
        assert_eq!(
            ends(&world, &bytes).await,
            Some(ErrorKind::ConnectionReset),
            "{reason}"
        );
        world.until_closed(reason, before + 1.0).await;
    }
    assert!(
        !world
            .status
            .metrics()
            .contains("istio_tcp_connections_opened_total")
    );
    let (_, log) = world.end().await;
    let unknown = log
        .iter()
        .find(|line| line["reason"] == "unknown_sni")
        .unwrap();
    assert_eq!(
        unknown["sni"],
        "outbound_.80_._.other.sample.svc.cluster.local"
    );
    assert_eq!(unknown["responseFlag"], "NR");
}

#[tokio::test]
async fn a_silent_client_is_ended_in_time() {
    let world = World::to("hello: { timeout: 500ms }", &[]);
    assert_eq!(ends(&world, b"").await, None);
    world.until_closed("hello_too_slow", 1.0).await;
    // Half a hello is unread, so the end is a reset.
    let half = &hello(SNI)[..100];
    assert_eq!(ends(&world, half).await, Some(ErrorKind::ConnectionReset));
    world.until_closed("hello_too_slow", 2.0).await;
}

#[tokio::test]
async fn a_hello_that_will_never_be_whole_is_not_waited_for() {
    let world = World::to("", &[]);
    for bytes in [&b""[..], &hello(SNI)[..1], &hello(SNI)[..100]] {
        let mut client = world.connect().await;
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        read_out(&mut client).await;
    }
    world.until_closed("hello_cut_short", 3.0).await;
    let mut client = world.connect().await;
    client.write_all(&hello(SNI)[..100]).await.unwrap();
    reset(client);
    world.until_closed("hello_reset", 1.0).await;
}

#[tokio::test]
async fn a_route_without_endpoints_is_ended_at_once() {
    let world = World::to("", &[]);
    let reset = Some(ErrorKind::ConnectionReset);
    assert_eq!(ends(&world, &hello(SNI)).await, reset);
    world.until_closed("no_endpoint", 1.0).await;
    let uh = ["response_flags=\"UH\"", "destination_workload=\"unknown\""];
    assert_eq!(world.metric("istio_tcp_connections_closed_total", &uh), 1.0);
}

#[tokio::test]
async fn a_route_with_only_dead_endpoints_ends_after_its_attempts() {
    let dead = [nobody().await, nobody().await, nobody().await];
    let world = World::to("dial: { attempts: 2, allowLoopback: true }", &dead);
    let reset = Some(ErrorKind::ConnectionReset);
    assert_eq!(ends(&world, &hello(SNI)).await, reset);
    world.until_closed("dial_failed", 1.0).await;
    let refused = ["result=\"refused\""];
    assert_eq!(world.metric("isthmus_eastwest_dials_total", &refused), 2.0);
    let uf = ["response_flags=\"UF\""];
    assert_eq!(world.metric("istio_tcp_connections_opened_total", &uf), 1.0);
}

#[tokio::test]
async fn loopback_is_not_dialled_unless_a_setting_says_so() {
    let (_listener, address) = endpoint().await;
    let world = World::to("dial: { allowLoopback: false }", &[address]);
    let reset = Some(ErrorKind::ConnectionReset);
    assert_eq!(ends(&world, &hello(SNI)).await, reset);
    world.until_closed("dial_forbidden", 1.0).await;
}

#[tokio::test]
async fn beyond_the_limit_the_newest_is_refused() {
    let (listener, address) = endpoint().await;
    let world = World::to("limits: { connections: 2 }", &[address]);
    let first = world.say_hello().await;
    let one = take(&listener).await;
    let _second = world.say_hello().await;
    let _two = take(&listener).await;
    // The reset may be there before the client knows that it is connected.
    let end = match TcpStream::connect(world.address).await {
        Ok(mut third) => read_out(&mut third).await.1,
        Err(error) => Some(error.kind()),
    };
    assert_eq!(end, Some(ErrorKind::ConnectionReset));
    world.until_closed("too_many_connections", 1.0).await;
    let hits = ["limit=\"limits.connections\""];
    assert_eq!(
        world.metric("isthmus_eastwest_limit_hits_total", &hits),
        1.0
    );
    drop((first, one));
    world.until_closed("finished", 1.0).await;
    let _fourth = world.say_hello().await;
    take(&listener).await;
}

/// Says what becomes of a new connection that sends nothing.
async fn enters(world: &World) -> Option<ErrorKind> {
    match TcpStream::connect(world.address).await {
        Ok(mut client) => read_out(&mut client).await.1,
        Err(error) => Some(error.kind()),
    }
}

#[tokio::test]
async fn each_limit_of_waiting_hellos_and_sources_has_its_own_reason() {
    let (listener, address) = endpoint().await;
    for (setting, reason, waits) in [
        (
            "connectionsPerSource",
            "too_many_connections_of_source",
            false,
        ),
        ("waitingHellos", "too_many_hellos", true),
        ("waitingHellosPerSource", "too_many_hellos_of_source", true),
    ] {
        let world = World::to(&format!("limits: {{ {setting}: 1 }}"), &[address]);
        let mut first = world.connect().await;
        eventually("waiting", || {
            world.status.debug("connections").unwrap()["waitingHellos"] == 1
        })
        .await;
        assert_eq!(enters(&world).await, Some(ErrorKind::ConnectionReset));
        world.until_closed(reason, 1.0).await;
        let hits = format!("limit=\"limits.{setting}\"");
        let hits = || world.metric("isthmus_eastwest_limit_hits_total", &[&hits]);
        assert_eq!(hits(), 1.0, "{setting}");
        // Once the hello is whole, only the limits of open connections hold.
        first.write_all(&hello(SNI)).await.unwrap();
        take(&listener).await;
        if waits {
            let _second = world.say_hello().await;
            take(&listener).await;
        } else {
            assert_eq!(enters(&world).await, Some(ErrorKind::ConnectionReset));
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answers_costs_one_dial_limit() {
    // 192.0.2.0/24 is nobody's; where a network refuses it at once, the result differs.
    let silent = "192.0.2.1:9".parse().unwrap();
    let (listener, alive) = endpoint().await;
    let world = World::to(
        "dial: { timeout: 100ms, allowLoopback: true }",
        &[silent, alive],
    );
    let client = world.say_hello().await;
    let _stream = take(&listener).await;
    let failed = ["timed_out", "refused"].map(|result| {
        let label = format!("result=\"{result}\"");
        world.metric("isthmus_eastwest_dials_total", &[&label])
    });
    assert_eq!(failed.iter().sum::<f64>(), 1.0);
    drop(client);
    tokio::time::timeout(Duration::from_secs(1), world.until_closed("finished", 0.0))
        .await
        .unwrap();
}

fn reset(client: TcpStream) {
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}
