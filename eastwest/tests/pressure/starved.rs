//! Readers that stop: the gateway holds what a pipe or a buffer holds, and no more; it
//! does not spin, and the others do not notice.

use std::{fmt, time::Duration};

use libtest_mimic::Trial;
use tokio::time::sleep;

use crate::{
    fault,
    hostile::FLOOD,
    kernel::{may_be_asked, of_pipes, of_sockets},
    neighbour::Neighbour,
    process::Process,
    skipped,
    sockets::{echo, flood, hostile_asks},
    trial,
    world::{SNI, eventually},
};

pub(crate) fn trials() -> Vec<Trial> {
    let (splice, copy) = (
        "stopped_readers_hold_little_by_splice",
        "stopped_readers_hold_little_by_copy",
    );
    if !may_be_asked() {
        return vec![skipped(splice, "needs ss"), skipped(copy, "needs ss")];
    }
    vec![trial(splice, by_splice), trial(copy, by_copy)]
}

async fn by_splice() {
    stop_reading("64 readers stop, by splice", "").await;
}

async fn by_copy() {
    stop_reading("64 readers stop, by copy", "relay: { pipes: 0 }").await;
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
    stands_still(&gateway).await;
    let mut over = Holdings::default();
    for _ in 0..2 * SECONDS {
        over.note(&gateway);
        sleep(Duration::from_millis(500)).await;
    }
    let beside = neighbour.lost_nothing().await;
    let spent = quiet_cpu(&gateway).await;
    let (before_kib, spent_ms) = (before >> 10, spent.as_millis());
    let measured = format!("{before_kib} KiB before; {over}; {spent_ms} ms CPU in 1 s; {beside}");
    println!("{measured}");
    for (_, least, most) in over.each() {
        assert!(most - least < 1 << 20, "it grows: {measured}");
    }
    assert!(over.process.1 < before + READERS * EACH + (2 << 20));
    assert!(spent < Duration::from_millis(500), "it spins: {spent:?}");
    let promise = "memory of process and kernel flat for 10 s, other connections unharmed";
    fault("relay", what, promise, measured);
}

/// Waits until what is held no longer grows; a few bytes more or less are the neighbour's.
async fn stands_still(gateway: &Process) {
    let mut last = 0;
    eventually("memory stands still", || {
        std::thread::sleep(Duration::from_millis(500));
        let now = of_sockets(gateway.id()) + of_pipes(gateway.id()) + gateway.resident();
        now.abs_diff(std::mem::replace(&mut last, now)) < 256 << 10
    })
    .await;
}

/// The least and the most that was held at a time, in bytes.
#[derive(Default)]
struct Holdings {
    process: (u64, u64),
    sockets: (u64, u64),
    pipes: (u64, u64),
}

impl Holdings {
    fn note(&mut self, gateway: &Process) {
        let first = self.process.1 == 0;
        for (over, now) in [
            (&mut self.process, gateway.resident()),
            (&mut self.sockets, of_sockets(gateway.id())),
            (&mut self.pipes, of_pipes(gateway.id())),
        ] {
            over.0 = if first { now } else { over.0.min(now) };
            over.1 = over.1.max(now);
        }
    }

    fn each(&self) -> [(&str, u64, u64); 3] {
        let of = |name, (least, most)| (name, least, most);
        [
            of("process", self.process),
            of("its sockets", self.sockets),
            of("its pipes", self.pipes),
        ]
    }
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.each().map(|(name, least, most)| {
            let (least, most) = (least >> 10, most >> 10);
            format!("{name} {least} to {most} KiB")
        });
        f.write_str(&each.join(", "))
    }
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
const SECONDS: usize = 10;
/// A full buffer, and what a connection costs.
const EACH: u64 = 20 << 10;
