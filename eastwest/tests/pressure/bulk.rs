//! Long transfers, many at once, whole to the last byte: raw TCP and TLS, one half ended
//! first or both at work together, by splice and by copy. What is ended or reset on the
//! way arrives as that.

use std::{io::ErrorKind, time::Duration};

use libtest_mimic::Trial;
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::{
    fault,
    load::{COPIED, Load, SPLICED},
    process::Process,
    trial,
    way::{Mixed, Raw, Tls, raw_endpoint, tls_endpoint},
    world::{Mesh, SNI, endpoint, hello, read_out, take},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("raw_64_by_16_mib_are_whole_by_splice", raw_by_splice),
        trial("raw_64_by_16_mib_are_whole_by_copy", raw_by_copy),
        trial("tls_64_by_16_mib_are_whole", tls),
        trial("mixed_640_by_4_mib_are_whole", mixed),
        trial("ends_within_bulk_arrive_as_ends", ends),
        trial("resets_within_bulk_arrive_as_resets", resets),
    ]
}

async fn raw_by_splice() {
    let gateway = Process::to("", &[(SNI, raw_endpoint().await)]);
    let load = Load::LONG;
    let done = load.carry(&gateway, &Raw::to(&gateway)).await;
    let what = "64 x 16 MiB both ways, raw TCP";
    let share = load.was_spliced(&gateway);
    fault("relay", what, SPLICED, format!("{share}; {done}"));
}

async fn raw_by_copy() {
    let gateway = Process::to("relay: { pipes: 0 }", &[(SNI, raw_endpoint().await)]);
    let done = Load::LONG.carry(&gateway, &Raw::to(&gateway)).await;
    assert_eq!(gateway.carried().0, 0.0);
    let what = "64 x 16 MiB both ways, raw TCP, without pipes";
    fault("relay", what, COPIED, done);
}

async fn tls() {
    let mesh = Mesh::new();
    let gateway = Process::to("", &[(SNI, tls_endpoint(&mesh).await)]);
    let load = Load::LONG;
    let done = load.carry(&gateway, &Tls::to(&gateway, &mesh, SNI)).await;
    let share = load.was_spliced(&gateway);
    let what = "64 x 16 MiB both ways, TLS";
    fault("relay", what, SPLICED, format!("{share}; {done}"));
}

/// Raw and TLS, half-closed first and not, by splice and, as pipes are few, by copy.
async fn mixed() {
    const OTHER: &str = "outbound_.80_._.other.sample.svc.cluster.local";
    let mesh = Mesh::new();
    let routes = [
        (SNI, raw_endpoint().await),
        (OTHER, tls_endpoint(&mesh).await),
    ];
    let gateway = Process::to("relay: { pipes: 64 }", &routes);
    let load = Load::MANY;
    let way = Mixed(Raw::to(&gateway), Tls::to(&gateway, &mesh, OTHER));
    let done = load.carry(&gateway, &way).await;
    let (spliced, copied) = gateway.carried();
    assert!(spliced > 0.0 && copied > 0.0, "{spliced} {copied}");
    let share = 100.0 * spliced / (spliced + copied);
    let what = "640 x 4 MiB both ways, raw and TLS mixed, pipes for few";
    let measured = format!("{done}; {share:.0} % by splice");
    fault("relay", what, "none lost, none hung", measured);
}

/// Half of 32 connections are ended by the client first, half by the endpoint; the other
/// half goes on as long as it likes.
async fn ends() {
    let (listener, address) = endpoint().await;
    let gateway = Process::to("", &[(SNI, address)]);
    for turn in 0..TURNS {
        let (mut first, mut second) = pair(&gateway, &listener, turn).await;
        end_of_half(&mut first, &mut second).await;
        end_of_half(&mut second, &mut first).await;
    }
    gateway.until_closed("finished", TURNS as f64).await;
    let promise = "a FIN arrives as a FIN behind the last byte, the other half goes on";
    let what = "one side, then the other ends its half";
    fault("relay", what, promise, format!("{TURNS} of {TURNS}"));
}

/// One half's bytes and its end, which the other side reads as that.
async fn end_of_half(from: &mut TcpStream, to: &mut TcpStream) {
    let said = async {
        from.write_all(&[1; MIB]).await.unwrap();
        from.shutdown().await.unwrap();
    };
    let ((), (heard, end)) = tokio::join!(said, read_out(to));
    assert_eq!((heard.len(), end), (MIB, None));
}

/// Half of 32 connections are reset by the client, half by the endpoint, all while bytes
/// flow: the other side must not take it for an end.
async fn resets() {
    let (listener, address) = endpoint().await;
    let gateway = Process::to("", &[(SNI, address)]);
    for turn in 0..TURNS {
        let (mut one, mut other) = pair(&gateway, &listener, turn).await;
        let reader = tokio::spawn(async move { read_out(&mut other).await });
        one.write_all(&[1; MIB]).await.unwrap();
        SockRef::from(&one)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(one);
        let (_, end) = reader.await.unwrap();
        assert_eq!(end, Some(ErrorKind::ConnectionReset), "turn {turn}");
    }
    gateway
        .until_closed("client_reset", TURNS as f64 / 2.0)
        .await;
    gateway
        .until_closed("endpoint_reset", TURNS as f64 / 2.0)
        .await;
    let promise = "a reset arrives as a reset";
    let what = "one side resets while bytes flow";
    fault("relay", what, promise, format!("{TURNS} of {TURNS}"));
}

/// Both ends of a connection through the gateway: in even turns first the client's, else
/// the endpoint's.
async fn pair(gateway: &Process, listener: &TcpListener, turn: usize) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    client.write_all(&hello(SNI)).await.unwrap();
    let (server, _) = take(listener).await;
    match turn % 2 {
        0 => (client, server),
        _ => (server, client),
    }
}

const MIB: usize = 1 << 20;
const TURNS: usize = 32;
