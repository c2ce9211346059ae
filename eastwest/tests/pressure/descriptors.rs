//! Descriptors run out: accepting pauses and goes on, what is open lives.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    fault,
    neighbour::Neighbour,
    process::{Orders, Process},
    sockets::{echo, hostile},
    trial,
    world::{SNI, SOON, eventually, hello},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("descriptors_run_out_and_come_back", run_out)]
}

async fn run_out() {
    let gateway = Process::start(&Orders {
        routes: &[(SNI, echo().await)],
        descriptors: Some(96),
        ..Orders::default()
    });
    let neighbour = Neighbour::established(gateway.address).await;
    let begin = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(hostile(gateway.address).await.unwrap());
    }
    let pauses = || gateway.hits("descriptors");
    eventually("accepting pauses", || pauses() >= 5.0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Who waits in the backlog is served when there is room, and not before.
    let mut late = tokio::net::TcpStream::connect(gateway.address)
        .await
        .unwrap();
    let question = hello(SNI);
    late.write_all(&question).await.unwrap();
    let mut answer = vec![0; question.len()];
    let early = late.read_exact(&mut answer);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), early)
            .await
            .is_err()
    );
    // Two workers pause 50 ms each time: they do not spin.
    let most = 2.0 * (begin.elapsed().as_secs_f64() / 0.05 + 1.0);
    let met = pauses();
    assert!(met <= most, "{met} pauses, {most} at most");
    drop(silent);
    let served = late.read_exact(&mut answer);
    tokio::time::timeout(SOON, served)
        .await
        .expect("room")
        .unwrap();
    assert_eq!(answer, question);
    let beside = neighbour.lost_nothing().await;
    fault(
        "descriptors",
        "300 silent connections where 96 descriptors are",
        "accepting pauses without spinning and resumes, established connections live",
        format!("{met} pauses; {beside}"),
    );
}
