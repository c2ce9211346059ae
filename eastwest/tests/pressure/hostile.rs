//! Misbehaving peers, each named after what it does wrong. Each is refused or bounded by
//! the limit named beside it and counted under a reason of its own, while a neighbour
//! loses nothing.

use std::{fmt::Display, io::ErrorKind, time::Duration};

use libtest_mimic::Trial;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;

use crate::{
    fault,
    neighbour::Neighbour,
    process::Process,
    skipped,
    sockets::{echo, flood, hostile, hostile_asks, may_open, quiet},
    trial,
    world::{SNI, hello, hello_with, read_out},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("stalls_after_hello", stalls_after_hello),
        trial("sends_one_byte_a_second", sends_one_byte_a_second),
        trial("sends_17k_hello", sends_17k_hello),
        trial("sends_plain_http", sends_plain_http),
        match may_open(6000) {
            true => trial("opens_5000_and_says_nothing", opens_5000_and_says_nothing),
            false => skipped("opens_5000_and_says_nothing", "needs 6000 descriptors"),
        },
        trial("half_closes_at_once", half_closes_at_once),
        trial("resets_mid_hello", resets_mid_hello),
        trial("never_reads", never_reads),
    ]
}

/// `relay.idle`
async fn stalls_after_hello() {
    let routes = [(SNI, echo().await), (QUIET, quiet().await)];
    let gateway = Process::to("relay: { idle: 1s }", &routes);
    let neighbour = Neighbour::beside(gateway.address);
    let mut stalled = Vec::new();
    for _ in 0..MANY {
        stalled.push(hostile_asks(gateway.address, QUIET).await);
    }
    for client in &mut stalled {
        assert_eq!(read_out(client).await, (Vec::new(), None));
    }
    gateway.until_closed("idle", MANY as f64).await;
    assert_eq!(gateway.hits("relay.idle"), MANY as f64);
    held(
        neighbour,
        "says hello and stalls",
        "closed at `relay.idle`",
        format!("{MANY} closed"),
    )
    .await;
}

/// `hello.timeout`
async fn sends_one_byte_a_second() {
    let gateway = Process::to("hello: { timeout: 2500ms }", &[(SNI, echo().await)]);
    let neighbour = Neighbour::beside(gateway.address);
    let mut slow = Vec::new();
    for _ in 0..MANY {
        slow.push(hostile(gateway.address).await.unwrap());
    }
    let mut sent = 0;
    for byte in hello(SNI).chunks(1) {
        sent += 1;
        let mut refused = 0;
        for client in &mut slow {
            refused += usize::from(client.write_all(byte).await.is_err());
        }
        if refused == MANY {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Three within the limit; a refusal is known only to a later write.
    assert!(sent <= 8, "{sent} bytes were taken");
    gateway.until_closed("hello_too_slow", MANY as f64).await;
    assert_eq!(gateway.hits("hello.timeout"), MANY as f64);
    held(
        neighbour,
        "sends one byte a second",
        "closed at `hello.timeout`",
        format!("{MANY} closed after at most {sent} bytes"),
    )
    .await;
}

/// `hello.bytes`
async fn sends_17k_hello() {
    let gateway = Process::to("", &[(SNI, echo().await)]);
    let neighbour = Neighbour::beside(gateway.address);
    let long = long_hello();
    assert!(long.len() > 17 << 10);
    let mut count = 0.0;
    while neighbour.asked() < BESIDE {
        count += 1.0;
        let mut client = hostile(gateway.address).await.unwrap();
        // It may be refused before it has said all.
        let _ = client.write_all(&long).await;
        assert_eq!(
            read_out(&mut client).await.1,
            Some(ErrorKind::ConnectionReset)
        );
    }
    gateway.until_closed("hello_too_long", count).await;
    assert_eq!(gateway.hits("hello.bytes"), count);
    held(
        neighbour,
        "sends a hello of 17 KiB",
        "reset at `hello.bytes`",
        format!("{count} reset"),
    )
    .await;
}

async fn sends_plain_http() {
    let gateway = Process::to("", &[(SNI, echo().await)]);
    let neighbour = Neighbour::beside(gateway.address);
    let mut count = 0.0;
    while neighbour.asked() < BESIDE {
        count += 1.0;
        let mut client = hostile(gateway.address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: helloworld\r\n\r\n";
        client.write_all(request).await.unwrap();
        let (answer, end) = read_out(&mut client).await;
        assert_eq!(
            (answer, end),
            (Vec::new(), Some(ErrorKind::ConnectionReset))
        );
    }
    gateway.until_closed("not_tls", count).await;
    held(
        neighbour,
        "sends plain HTTP",
        "reset as `not_tls`",
        format!("{count} reset"),
    )
    .await;
}

/// `limits.waitingHellosPerSource`, as it is by default; those within it end by
/// `hello.timeout`.
async fn opens_5000_and_says_nothing() {
    const ALL: usize = 5000;
    const WAIT: f64 = 1024.0;
    let gateway = Process::to("hello: { timeout: 6s }", &[(SNI, echo().await)]);
    let neighbour = Neighbour::beside(gateway.address);
    let mut silent = Vec::new();
    for _ in 0..ALL {
        // A refusal may come before the client knows that it is connected.
        silent.extend(hostile(gateway.address).await.ok());
    }
    let refused = ALL as f64 - WAIT;
    gateway
        .until_closed("too_many_hellos_of_source", refused)
        .await;
    assert_eq!(gateway.hits("limits.waitingHellosPerSource"), refused);
    gateway.until_closed("hello_too_slow", WAIT).await;
    assert_eq!(gateway.closed("too_many_hellos_of_source"), refused);
    held(
        neighbour,
        "opens 5,000 and says nothing",
        "the newest reset at `limits.waitingHellosPerSource`, the others closed at `hello.timeout`",
        format!("{refused} reset, {WAIT} closed"),
    )
    .await;
}

async fn half_closes_at_once() {
    let gateway = Process::to("", &[(SNI, echo().await)]);
    let neighbour = Neighbour::beside(gateway.address);
    let mut count = 0.0;
    while neighbour.asked() < BESIDE {
        count += 1.0;
        let mut client = hostile(gateway.address).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_out(&mut client).await, (Vec::new(), None));
    }
    gateway.until_closed("hello_cut_short", count).await;
    held(
        neighbour,
        "half-closes at once",
        "closed as `hello_cut_short`",
        format!("{count} closed"),
    )
    .await;
}

async fn resets_mid_hello() {
    let gateway = Process::to("", &[(SNI, echo().await)]);
    let neighbour = Neighbour::beside(gateway.address);
    let mut count = 0.0;
    while neighbour.asked() < BESIDE {
        count += 1.0;
        let mut client = hostile(gateway.address).await.unwrap();
        client.write_all(&hello(SNI)[..100]).await.unwrap();
        SockRef::from(&client)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    gateway.until_closed("hello_reset", count).await;
    held(
        neighbour,
        "resets within its hello",
        "closed as `hello_reset`",
        format!("{count} closed"),
    )
    .await;
}

/// `relay.userTimeout`
async fn never_reads() {
    let routes = [(SNI, echo().await), (FLOOD, flood().await)];
    let gateway = Process::to("relay: { userTimeout: 1s }", &routes);
    let neighbour = Neighbour::beside(gateway.address);
    let mut deaf = Vec::new();
    for _ in 0..MANY {
        deaf.push(hostile_asks(gateway.address, FLOOD).await);
    }
    gateway.until_closed("client_lost", MANY as f64).await;
    assert_eq!(gateway.hits("relay.userTimeout"), MANY as f64);
    held(
        neighbour,
        "never reads",
        "cut at `relay.userTimeout`",
        format!("{MANY} cut"),
    )
    .await;
}

/// The row of a client that the gateway held out against: its neighbour lost nothing.
pub(crate) async fn held(
    neighbour: Neighbour,
    client: &str,
    promise: &str,
    measured: impl Display,
) {
    let beside = neighbour.lost_nothing().await;
    let promise = format!("{promise}; requests every 10 ms beside it lose nothing");
    fault(
        "hostile clients",
        client,
        &promise,
        format!("{measured}; {beside}"),
    );
}

/// A ClientHello that is right but for its length: 150 protocols that nobody knows.
fn long_hello() -> Vec<u8> {
    let protocols: Vec<Vec<u8>> = (0..150).map(|i| vec![i; 120]).collect();
    let protocols: Vec<&[u8]> = protocols.iter().map(Vec::as_slice).collect();
    hello_with(Some(SNI), &protocols)
}

const MANY: usize = 20;
/// Requests of the neighbour while quick clients go on misbehaving.
pub(crate) const BESIDE: u32 = 50;
const QUIET: &str = "outbound_.80_._.quiet.sample.svc.cluster.local";
pub(crate) const FLOOD: &str = "outbound_.80_._.flood.sample.svc.cluster.local";
