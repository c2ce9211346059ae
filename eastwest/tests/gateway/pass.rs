//! Connections that pass: TLS end to end, the choice of an endpoint, the account.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use trust::tls::peer_identity;

use crate::world::*;

#[tokio::test]
async fn two_sidecars_speak_tls_end_to_end() {
    let mesh = Mesh::new();
    let (listener, address) = endpoint().await;
    let world = World::to("", &[address]);
    let acceptor = TlsAcceptor::from(mesh.server("helloworld", b"istio"));
    let server = tokio::spawn(answer_one(listener, acceptor));
    let connector = TlsConnector::from(mesh.client("client"));
    let name = SNI.to_owned().try_into().unwrap();
    let tcp = world.connect().await;
    let own = tcp.local_addr().unwrap().to_string();
    let mut tls = connector.connect(name, tcp).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"istio"[..]));
    tls.write_all(b"question").await.unwrap();
    tls.shutdown().await.unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer to question");
    let (client, sni) = server.await.unwrap();
    assert_eq!(client, "spiffe://cluster.local/ns/sample/sa/client");
    assert_eq!(sni.as_deref(), Some(SNI));
    drop(tls);

    world.until_closed("finished", 1.0).await;
    let labels = [
        "destination_workload=\"helloworld-v1\"",
        "destination_service_name=\"helloworld\"",
        "response_flags=\"-\"",
    ];
    for name in ["opened_total", "closed_total"] {
        let name = format!("istio_tcp_connections_{name}");
        assert_eq!(world.metric(&name, &labels), 1.0);
    }
    let received = world.metric("istio_tcp_received_bytes_total", &labels);
    let sent = world.metric("istio_tcp_sent_bytes_total", &labels);
    assert!(received > 200.0 && sent > 200.0, "{received} {sent}");

    let (report, log) = world.end().await;
    assert_eq!((report.open, report.cut.len()), (0, 0));
    let [line] = log.as_slice() else {
        panic!("{log:?}")
    };
    assert_eq!(line["peer"], own);
    assert_eq!(line["sni"], SNI);
    assert_eq!(line["service"], "helloworld.sample.svc.cluster.local");
    assert_eq!(line["endpoint"], address.to_string());
    assert_eq!(line["workload"], "helloworld-v1");
    assert_eq!(line["receivedBytes"].as_f64(), Some(received));
    assert_eq!(line["sentBytes"].as_f64(), Some(sent));
    assert_eq!(line["reason"], "finished");
    assert_eq!(line["responseFlag"], "-");
    assert!(line["connectedMs"].as_f64() <= line["durationMs"].as_f64());
}

/// Answers one question over TLS; says who asked, and by what name.
async fn answer_one(listener: TcpListener, acceptor: TlsAcceptor) -> (String, Option<String>) {
    let (tcp, _) = listener.accept().await.unwrap();
    let mut tls = acceptor.accept(tcp).await.unwrap();
    let (_, session) = tls.get_ref();
    let client = peer_identity(session.peer_certificates().unwrap()).unwrap();
    let sni = session.server_name().map(str::to_owned);
    let mut asked = Vec::new();
    tls.read_to_end(&mut asked).await.unwrap();
    tls.write_all(b"answer to ").await.unwrap();
    tls.write_all(&asked).await.unwrap();
    tls.shutdown().await.unwrap();
    (client.to_string(), sni)
}

#[tokio::test]
async fn the_hello_arrives_as_it_was_sent_however_it_was_cut() {
    let (listener, address) = endpoint().await;
    let world = World::to("", &[address]);
    let upper = hello(SNI);
    let mut upper = upper;
    let at = upper
        .windows(SNI.len())
        .position(|window| window == SNI.as_bytes())
        .unwrap();
    upper[at..at + SNI.len()].make_ascii_uppercase();
    let mut client = world.connect().await;
    client.set_nodelay(true).unwrap();
    let (first, second) = upper.split_at(7);
    client.write_all(first).await.unwrap();
    client.flush().await.unwrap();
    eventually("accepted", || {
        world.status.debug("connections").unwrap()["open"] == 1
    })
    .await;
    client.write_all(second).await.unwrap();
    let (_stream, arrived) = take(&listener).await;
    assert_eq!(arrived, upper);
}

#[tokio::test]
async fn a_dead_endpoint_is_passed_over_before_the_first_byte() {
    let (listener, alive) = endpoint().await;
    let world = World::to("", &[nobody().await, alive]);
    let mut client = world.say_hello().await;
    let (mut stream, _) = take(&listener).await;
    stream.write_all(b"here").await.unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"here");
    let dials = |result| world.metric("isthmus_eastwest_dials_total", &[result]);
    assert_eq!(dials("result=\"refused\""), 1.0);
    assert_eq!(dials("result=\"connected\""), 1.0);
}

#[tokio::test]
async fn connections_go_to_the_less_loaded_endpoint() {
    let (one, at_one) = endpoint().await;
    let (two, at_two) = endpoint().await;
    let route = routes(SNI, &[at_one, at_two]).replace("priority: 1", "priority: 0");
    let world = World::with_routes("", &route);
    let mut open = Vec::new();
    for _ in 0..10 {
        let client = world.say_hello().await;
        let stream = tokio::select! {
            (stream, _) = take(&one) => (1, stream),
            (stream, _) = take(&two) => (2, stream),
        };
        open.push((client, stream));
    }
    let ones = open.iter().filter(|(_, (which, _))| *which == 1).count();
    assert_eq!(ones, 5);
}

#[tokio::test]
async fn static_routes_are_read_again_and_a_mistake_changes_nothing() {
    let (listener, address) = endpoint().await;
    let world = World::with_routes("", "routes: []");
    assert!(world.status.ready());
    let error = || world.status.debug("sync").unwrap()["lastError"].clone();
    world.rewrite_routes(&routes(SNI, &[address]));
    let routes_now = || world.metric("isthmus_eastwest_routes", &[]);
    eventually("the new route", || routes_now() == 1.0).await;
    world.rewrite_routes("routes: [{ sni: UPPER }]");
    eventually("the mistake is told", || error().is_string()).await;
    assert_eq!(routes_now(), 1.0);
    let _client = world.say_hello().await;
    take(&listener).await;
}
