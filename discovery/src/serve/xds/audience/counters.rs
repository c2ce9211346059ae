//! Counters of the xDS server, without a metrics library: whoever renders the page reads
//! [`Series`].

use std::sync::atomic::{AtomicU64, Ordering};

use crate::serve::xds::{
    delta::{Heard, Response},
    resource::Kind,
    viewer::Refusal,
};

/// One number with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The metric's name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// How it moves.
    pub measure: Measure,
    /// Its labels, of the same names for each series of a name.
    pub labels: Vec<(&'static str, &'static str)>,
    /// The number.
    pub value: u64,
}

/// How a number moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// What became of a connection that was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// As many connections as there may be.
    TooManyConnections,
    /// As many handshakes as there may be.
    TooManyHandshakes,
    /// The handshake took too long.
    HandshakeTimeout,
    /// The handshake failed: most often a certificate that is not believed.
    HandshakeFailed,
}

/// The counters.
#[derive(Debug, Default)]
pub struct Counters {
    kinds: [KindCounters; Kind::ALL.len()],
    drops: [AtomicU64; Dropped::ALL.len()],
    refusals: [AtomicU64; Refusal::LABELS.len()],
    unknown: AtomicU64,
}

#[derive(Debug, Default)]
struct KindCounters {
    pushes: AtomicU64,
    resources: AtomicU64,
    removals: AtomicU64,
    bytes: AtomicU64,
    nacks: AtomicU64,
    stale: AtomicU64,
}

impl Counters {
    /// Counts a response.
    pub(crate) fn pushed(&self, response: &Response) {
        let counters = &self.kinds[response.kind as usize];
        let bytes: usize = response.resources.iter().map(|r| r.bytes().len()).sum();
        add(&counters.pushes, 1);
        add(&counters.resources, response.resources.len());
        add(&counters.removals, response.removed.len());
        add(&counters.bytes, bytes);
    }

    /// Counts a request that says more than what it asks for.
    pub(crate) fn heard(&self, heard: &Heard) {
        match heard {
            Heard::Request | Heard::Ack(_) => {}
            Heard::Nack(kind, _) => add(&self.kinds[*kind as usize].nacks, 1),
            Heard::Stale(kind) => add(&self.kinds[*kind as usize].stale, 1),
            Heard::Unknown(_) => add(&self.unknown, 1),
        }
    }

    /// Counts a viewer that is not served.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        let label = refusal.as_str();
        if let Some(index) = Refusal::LABELS.iter().position(|known| *known == label) {
            add(&self.refusals[index], 1);
        }
    }

    /// Counts a connection that is not served.
    pub(crate) fn dropped(&self, drop: Dropped) {
        add(&self.drops[drop as usize], 1);
    }

    /// How many connections were not served for this reason.
    #[must_use]
    pub fn drops(&self, drop: Dropped) -> u64 {
        self.drops[drop as usize].load(Ordering::Relaxed)
    }

    pub(super) fn series(&self) -> Vec<Series> {
        let mut series = Vec::new();
        for kind in Kind::ALL {
            let KindCounters {
                pushes,
                resources,
                removals,
                bytes,
                nacks,
                stale,
            } = &self.kinds[kind as usize];
            let mut push = |name, help, value: &AtomicU64| {
                series.push(counter(name, help, ("type", kind.as_str()), value));
            };
            push(
                "isthmus_discovery_xds_pushes_total",
                "Responses that were sent.",
                pushes,
            );
            push(
                "isthmus_discovery_xds_resources_total",
                "Resources in responses.",
                resources,
            );
            push(
                "isthmus_discovery_xds_removals_total",
                "Removed names in responses.",
                removals,
            );
            push(
                "isthmus_discovery_xds_bytes_total",
                "Bytes of resources in responses.",
                bytes,
            );
            push(
                "isthmus_discovery_xds_rejects_total",
                "Responses that a viewer refused.",
                nacks,
            );
            push(
                "isthmus_discovery_xds_stale_total",
                "Answers to a response that was not on its way.",
                stale,
            );
        }
        for (reason, value) in Refusal::LABELS.into_iter().zip(&self.refusals) {
            let help = "Viewers that were refused, by reason.";
            let label = ("reason", reason);
            series.push(counter(
                "isthmus_discovery_xds_refused_total",
                help,
                label,
                value,
            ));
        }
        for drop in Dropped::ALL {
            let help = "Connections that were not served, by reason.";
            let label = ("reason", drop.as_str());
            let value = &self.drops[drop as usize];
            series.push(counter(
                "isthmus_discovery_xds_dropped_total",
                help,
                label,
                value,
            ));
        }
        let help = "Requests for a type that is not served here.";
        let label = ("type", "unknown");
        series.push(counter(
            "isthmus_discovery_xds_unknown_total",
            help,
            label,
            &self.unknown,
        ));
        series
    }
}

impl Dropped {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::TooManyConnections,
        Self::TooManyHandshakes,
        Self::HandshakeTimeout,
        Self::HandshakeFailed,
    ];

    /// As a metric's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooManyConnections => "too_many_connections",
            Self::TooManyHandshakes => "too_many_handshakes",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakeFailed => "handshake_failed",
        }
    }
}

fn counter(
    name: &'static str,
    help: &'static str,
    label: (&'static str, &'static str),
    value: &AtomicU64,
) -> Series {
    Series {
        name,
        help,
        measure: Measure::Counter,
        labels: vec![label],
        value: value.load(Ordering::Relaxed),
    }
}

fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(number as u64, Ordering::Relaxed);
}
