//! Readers that stop: the gateway holds what a pipe or a buffer holds, and no more; it
//! does not spin, and the others do not notice.

use std::time::Duration;

use libtest_mimic::Trial;
use tokio::time::sleep;

use crate::{
    hostile::FLOOD,
    neighbour::Neighbour,
    process::Process,
    sockets::{echo, flood, hostile_asks},
    trial,
    world::{SNI, eventually},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("stopped_readers_hold_little_by_splice", by_splice),
        trial("stopped_readers_hold_little_by_copy", by_copy),
    ]
}

async fn by_splice() {
    stop_reading("readers that stop, splice", "").await;
}

async fn by_copy() {
    stop_reading("readers that stop, copy", "relay: { pipes: 0 }").await;
}

async fn stop_reading(what: &str, settings: &str) {
    let routes = [(SNI, echo().await), (FLOOD, flood().await)];
    let gateway = Process::to(settings, &routes);
    let neighbour = Neighbour::beside(gateway.address);
    let before = gateway.resident();
    let mut deaf = Vec::new();
    for _ in 0..READERS {
        deaf.push(hostile_asks(gateway.address, FLOOD).await);
    }
    sleep(Duration::from_secs(1)).await;
    let mut resident = Vec::new();
    for _ in 0..8 {
        resident.push(gateway.resident());
        sleep(Duration::from_millis(250)).await;
    }
    let beside = neighbour.lost_nothing().await;
    let spent = quiet_cpu(&gateway).await;
    let kib = |bytes: u64| bytes >> 10;
    let all: Vec<u64> = resident.iter().copied().map(kib).collect();
    println!(
        "{what}: {} KiB before, then {all:?} KiB; {spent:?} CPU in 1 s; {beside}",
        kib(before)
    );
    let (first, last) = (resident[0], resident[resident.len() - 1]);
    assert!(last < first + (1 << 20), "it grows: {all:?} KiB");
    assert!(last < before + READERS * EACH + (2 << 20), "{all:?} KiB");
    assert!(spent < Duration::from_millis(500), "it spins: {spent:?}");
}

/// The processor time of a second in which nothing can move.
async fn quiet_cpu(gateway: &Process) -> Duration {
    let mut carried = gateway.carried();
    eventually("all stand still", || {
        std::thread::sleep(Duration::from_millis(100));
        let before = std::mem::replace(&mut carried, gateway.carried());
        before == carried
    })
    .await;
    let before = gateway.cpu();
    sleep(Duration::from_secs(1)).await;
    gateway.cpu() - before
}

const READERS: u64 = 64;
/// A full buffer, and what a connection costs.
const EACH: u64 = 20 << 10;
