//! Many long transfers at once.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    order::{Order, block},
    process::Process,
    way::Way,
};

/// So many connections of so many bytes each way.
pub(crate) struct Load {
    connections: u64,
    length: u64,
}

/// What a load came to.
pub(crate) struct Done {
    mib: u64,
    took: Duration,
    resident: u64,
}

impl Load {
    /// Long ones.
    pub(crate) const LONG: Self = Self {
        connections: 64,
        length: 16 << 20,
    };

    /// Many at once.
    pub(crate) const MANY: Self = Self {
        connections: 640,
        length: 4 << 20,
    };

    /// All bytes of all connections, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        2 * self.connections * self.length
    }

    /// Carries it, all connections at once; every second one ends its half before it is
    /// answered.
    pub(crate) async fn carry(&self, gateway: &Process, way: &impl Way) -> Done {
        let (begin, block, mut clients) = (Instant::now(), block(), JoinSet::new());
        for seed in 0..self.connections {
            let (block, connecting) = (Arc::clone(&block), way.connect(seed));
            let order = Order {
                seed,
                length: self.length,
            };
            clients.spawn(async move { order.give(connecting.await, &block).await });
        }
        while let Some(whole) = clients.join_next().await {
            whole.unwrap();
        }
        let took = begin.elapsed();
        gateway
            .until_closed("finished", self.connections as f64)
            .await;
        Done {
            mib: self.bytes() >> 20,
            took,
            resident: gateway.resident(),
        }
    }

    /// Sees that nearly all of it went through pipes, by the gateway's own account.
    pub(crate) fn was_spliced(&self, gateway: &Process) -> String {
        let (spliced, copied) = gateway.carried();
        let share = spliced / (spliced + copied);
        assert!(spliced + copied >= self.bytes() as f64);
        assert!(share >= 0.95, "{spliced} {copied}");
        format!("{:.1} % by splice", 100.0 * share)
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mib, took, kib) = (self.mib, self.took, self.resident >> 10);
        write!(f, "{mib} MiB in {took:.1?}, {kib} KiB resident")
    }
}

/// What is promised of a load, half of whose connections end their half first.
pub(crate) const SPLICED: &str = "all whole by SHA-256 both ways, 95 % or more by splice";
/// The same, where no pipe is to be had.
pub(crate) const COPIED: &str = "all whole by SHA-256 both ways, by copy";
