//! The end of a gateway.

use std::{
    io::{ErrorKind, Write},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::*;

#[tokio::test]
async fn what_is_open_may_end_and_nothing_new_begins() {
    let (listener, address) = endpoint().await;
    let world = World::to("drain: { limit: 60s }", &[address]);
    assert!(world.status.ready());
    let mut client = world.say_hello().await;
    let (mut server, _) = take(&listener).await;
    world.stop();
    assert!(!world.status.ready());
    let at = world.address;
    eventually("nobody listens", || {
        std::net::TcpStream::connect_timeout(&at, SOON).is_err()
    })
    .await;
    server.write_all(b"still here").await.unwrap();
    let mut answer = [0; 10];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"still here");
    drop((client, server));
    let (report, log) = world.end().await;
    assert_eq!(report.cut.len(), 0);
    assert_eq!(
        log.iter()
            .filter(|line| line["reason"] == "finished")
            .count(),
        1
    );
}

#[tokio::test]
async fn what_does_not_end_is_cut_and_reported() {
    let (listener, address) = endpoint().await;
    let world = World::to("drain: { limit: 200ms }", &[address]);
    let mut client: TcpStream = world.say_hello().await;
    let own = client.local_addr().unwrap();
    let (mut server, _) = take(&listener).await;
    let (report, log) = world.end().await;
    assert_eq!((report.open, report.ended()), (1, 0));
    assert_eq!(report.cut[0].peer, own);
    assert_eq!(report.cut[0].endpoint.as_ref().unwrap().address, address);
    assert_eq!(log[0]["reason"], "drained");
    for stream in [&mut client, &mut server] {
        assert_eq!(read_out(stream).await.1, Some(ErrorKind::ConnectionReset));
    }
}

/// Who had connected when the gateway was told to stop is served, though nobody had
/// accepted it yet.
#[tokio::test]
async fn who_waits_in_the_backlog_is_taken() {
    let (listener, address) = endpoint().await;
    for _ in 0..20 {
        let world = World::to("", &[address]);
        let mut waiting = [(); 4].map(|()| std::net::TcpStream::connect(world.address).unwrap());
        world.stop();
        for client in &mut waiting {
            client.write_all(&hello(SNI)).unwrap();
            take(&listener).await;
        }
    }
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once() {
    let world = World::to("drain: { limit: 1h }", &[]);
    let (report, log) = tokio::time::timeout(Duration::from_secs(10), world.end())
        .await
        .unwrap();
    assert_eq!((report.open, log.len()), (0, 0));
}
