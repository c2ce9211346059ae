//! What it costs.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use scenarios::{
    load::micros,
    metric,
    report::Report,
    topology::GATEWAY,
    usage::Usage,
    world::{World, objects::DISCOVERY},
};

use super::cast::{Cast, EACH, SERVICES, Took, metrics, usage};

/// From the write to the recorder; what the test lets pass is five times that.
pub(super) const PROMISE: &str = "p99 1 s, the test fails at 5 s";
const LIMIT: Duration = Duration::from_secs(5);

/// Counters at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    at: SystemTime,
    discovery: Usage,
    gateway: Usage,
    changes: usize,
    requests: usize,
    /// Bytes of assignments that discovery sent.
    sent: f64,
    /// Bytes of responses that the recorder got.
    received: usize,
}

/// From writes to the recorder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delays {
    p50: Took,
    p99: Took,
    count: usize,
}

impl Moment {
    pub(super) async fn now(world: &World, cast: &mut Cast) -> Result<Self> {
        let page = metrics(world).await?;
        let received = cast.recorder.received()?.iter();
        Ok(Self {
            received: received.map(|response| response.bytes).sum(),
            at: SystemTime::now(),
            discovery: usage(world, DISCOVERY)?,
            gateway: usage(world, GATEWAY)?,
            changes: cast.crowd.diary().written().len(),
            requests: cast.crowd.diary().requests(),
            sent: metric::sum(&page, BYTES, &[("type", "EDS")]),
        })
    }

    /// Tells what was done and what it cost since `before`, in so much time without pauses,
    /// for so many viewers; the same as a row of the table has it.
    pub(super) fn tell(
        &self,
        before: &Self,
        running: Duration,
        viewers: u32,
        report: &Report,
    ) -> Result<String> {
        let changes = count(self.changes - before.changes);
        let requests = count(self.requests - before.requests);
        let seconds = running.as_secs_f64();
        let rate = format!(
            "{:.0} changes a second by {:.0} writes",
            changes / seconds,
            requests / seconds
        );
        report.measured("achieved", &rate, "500 changes a second, 100 at least");
        ensure!(
            changes / seconds >= LEAST,
            "only {rate}: that shows nothing"
        );
        let discovery = cost(self.discovery, before.discovery, changes, seconds);
        report.measured("processor time of discovery", &discovery, FIGURE);
        let gateway = cost(self.gateway, before.gateway, changes, seconds);
        report.measured("processor time of the gateway", &gateway, FIGURE);
        let sent = (self.sent - before.sent) / changes / f64::from(viewers);
        let received = count(self.received - before.received) / changes;
        let told = format!("{sent:.0} of assignments sent, {received:.0} of responses received");
        report.measured(
            "bytes per change and viewer",
            told,
            "one service's endpoints",
        );
        Ok(format!(
            "{rate}; discovery {discovery}, gateway {gateway}; {received:.0} bytes per change and \
             viewer"
        ))
    }

    pub(super) fn at(&self) -> SystemTime {
        self.at
    }
}

impl Delays {
    /// Of what was written since a moment.
    pub(super) fn since(cast: &mut Cast, moment: SystemTime) -> Result<Self> {
        let records = cast.recorder.so_far()?.since(moment);
        let mut written = cast.crowd.diary().written();
        written.retain(|write| write.begun >= micros(moment));
        let delays = records.delays(&written);
        let last = delays.len().checked_sub(1).context("nothing was told")?;
        let at = |share: usize| Took(delays[last * share / 100]);
        let all = Self {
            p50: at(50),
            p99: at(99),
            count: delays.len(),
        };
        ensure!(all.p99.0 <= LIMIT, "from write to received: {all}");
        Ok(all)
    }
}

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {}, p99 {} of {}", self.p50, self.p99, self.count)
    }
}

/// Tells what the crowd takes in memory, in discovery and in the gateway; fails where it is
/// more than allowed.
pub(super) fn memory(before: [Usage; 2], after: [Usage; 2], report: &Report) -> Result<String> {
    let mut told = Vec::new();
    let who = [("discovery", DISCOVERY_BYTES), ("gateway", GATEWAY_BYTES)];
    for (index, (who, allowed)) in who.into_iter().enumerate() {
        let grown = after[index].resident.saturating_sub(before[index].resident);
        let each = grown / (u64::from(SERVICES) * u64::from(EACH));
        report.measured(
            &format!("resident memory of the {who} per endpoint"),
            format!("{each} bytes"),
            &format!("{allowed} bytes"),
        );
        ensure!(each <= allowed, "{who}: {each} bytes for each endpoint");
        told.push(format!("{who} {each}"));
    }
    Ok(format!("resident bytes per endpoint: {}", told.join(", ")))
}

fn cost(now: Usage, then: Usage, changes: f64, seconds: f64) -> String {
    let cpu = now.cpu.saturating_sub(then.cpu).as_secs_f64();
    format!(
        "{:.2} CPU s per 1,000 changes ({:.0} % of a core)",
        cpu / changes * 1000.0,
        cpu / seconds * 100.0
    )
}

/// Sizes are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
fn count(number: usize) -> f64 {
    number as f64
}

/// A fifth of what is planned.
const LEAST: f64 = 100.0;
const FIGURE: &str = "a figure, debug build";
const DISCOVERY_BYTES: u64 = 16 << 10;
const GATEWAY_BYTES: u64 = 8 << 10;
const BYTES: &str = "isthmus_discovery_xds_bytes_total";
