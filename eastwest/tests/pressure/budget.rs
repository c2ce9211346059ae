//! What a connection costs: bytes while it is idle, allocations over its life. The
//! figures are those of a debug build, printed and kept below a gate.

use std::{net::SocketAddr, process::Command};

use libtest_mimic::Trial;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    fault,
    process::{Orders, Process},
    skipped,
    sockets::{echo, may_open},
    trial,
    world::{SNI, eventually, hello},
};

pub(crate) fn trials() -> Vec<Trial> {
    let (idle, allocations) = ("bytes_per_idle_connection", "allocations_per_connection");
    vec![
        match may_open(2 * COUNT + 500) {
            true => trial(idle, bytes),
            false => skipped(idle, "needs 10500 descriptors"),
        },
        match Command::new("valgrind").arg("--version").output() {
            Ok(_) => trial(allocations, allocated),
            Err(_) => skipped(allocations, "needs valgrind"),
        },
    ]
}

/// 5,000 relayed connections on which nothing moves.
async fn bytes() {
    let gateway = Process::to("", &[(SNI, echo().await)]);
    drop(relayed(gateway.address, 200).await);
    gateway.until_closed("finished", 200.0).await;
    let empty = gateway.resident();
    let each = |now: u64| now.saturating_sub(empty) / COUNT;
    let open = relayed(gateway.address, COUNT).await;
    let idle = each(gateway.resident());
    drop(open);
    gateway.until_open(0.0).await;
    let after = gateway.resident();
    let kept = (after - empty) >> 10;
    println!("{idle} bytes per idle connection; {kept} KiB kept after");
    assert!(idle <= GATE, "{idle} bytes");
    let promise = format!("{GATE} bytes of memory each at most (goal: 2048)");
    let measured = format!("{idle} bytes each");
    fault("relay", "5,000 idle connections", &promise, measured);
}

/// What valgrind counts for 300 connections more.
async fn allocated() {
    let few = life_under_valgrind(100).await;
    let more = life_under_valgrind(400).await;
    let (count, bytes) = ((more.0 - few.0) / 300.0, (more.1 - few.1) / 300.0);
    let measured = format!("{count:.1}, of {bytes:.0} bytes");
    println!("allocations per connection, from accept to end: {measured}");
    assert!(count <= ALLOCATIONS, "{count} allocations");
    let promise = format!("at most {ALLOCATIONS} allocations each, from accept to end");
    fault("relay", "short connections", &promise, measured);
}

/// Allocations and bytes over the life of a gateway with so many connections.
async fn life_under_valgrind(connections: u64) -> (f64, f64) {
    let gateway = Process::start(&Orders {
        routes: &[(SNI, echo().await)],
        under: &["valgrind", "--undef-value-errors=no", "--leak-check=no"],
        ..Orders::default()
    });
    let first = relayed(gateway.address, 1).await;
    let idle = gateway.sockets() - 2;
    drop(first);
    for _ in 1..connections {
        relayed(gateway.address, 1).await;
    }
    // The page of metrics tells it too, but takes memory each time that it is looked at.
    eventually("all are closed", || gateway.sockets() == idle).await;
    let said = gateway.end();
    let usage = said
        .lines()
        .find_map(|line| line.split_once("total heap usage:"));
    let (_, usage) = usage.unwrap_or_else(|| panic!("{said}"));
    let number = |text: &str| text.replace(',', "").trim().parse::<f64>().unwrap();
    let words: Vec<&str> = usage.split_whitespace().collect();
    let before = |word: &str| {
        let at = words.iter().position(|w| w.trim_matches(',') == word);
        number(words[at.unwrap() - 1])
    };
    (before("allocs"), before("bytes"))
}

/// Connections each of which has carried a few bytes both ways.
async fn relayed(to: SocketAddr, count: u64) -> Vec<TcpStream> {
    let (question, mut open) = (hello(SNI), Vec::new());
    let mut answer = vec![0; question.len()];
    for _ in 0..count {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(&question).await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        open.push(stream);
    }
    open
}

const COUNT: u64 = 5000;
/// Of user memory, for one idle connection. The goal is 2048, and what was measured is
/// printed; the rest is the granularity of pages and arenas.
const GATE: u64 = 2304;
/// The task, its place in the set, two sockets, and what a hello and a dial need.
const ALLOCATIONS: f64 = 8.0;
