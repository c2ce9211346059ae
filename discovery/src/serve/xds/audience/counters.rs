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

    /// All of them, those of one name beside one another.
    pub(super) fn series(&self) -> Vec<Series> {
        let of_kind = |index: usize| {
            let kinds = Kind::ALL.into_iter().zip(&self.kinds);
            kinds.map(move |(kind, counters)| counters.series(index, ("type", kind.as_str())))
        };
        let kinds = (0..OF_KIND.len()).flat_map(of_kind);
        let refusals = (Refusal::LABELS.into_iter().zip(&self.refusals))
            .map(|(reason, value)| counter(REFUSED, ("reason", reason), value));
        let drops = (Dropped::ALL.into_iter().zip(&self.drops))
            .map(|(reason, value)| counter(DROPPED, ("reason", reason.as_str()), value));
        let unknown = counter(UNKNOWN, ("type", "unknown"), &self.unknown);
        kinds
            .chain(refusals)
            .chain(drops)
            .chain([unknown])
            .collect()
    }
}

impl KindCounters {
    /// The one that [`OF_KIND`] has at `index`.
    fn series(&self, index: usize, label: (&'static str, &'static str)) -> Series {
        let values = [
            &self.pushes,
            &self.resources,
            &self.removals,
            &self.bytes,
            &self.nacks,
            &self.stale,
        ];
        counter(OF_KIND[index], label, values[index])
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
    (name, help): (&'static str, &'static str),
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

/// Names and meanings, in the order of [`KindCounters::series`].
const OF_KIND: [(&str, &str); 6] = [
    (
        "isthmus_discovery_xds_pushes_total",
        "Responses that were sent.",
    ),
    (
        "isthmus_discovery_xds_resources_total",
        "Resources in responses.",
    ),
    (
        "isthmus_discovery_xds_removals_total",
        "Removed names in responses.",
    ),
    (
        "isthmus_discovery_xds_bytes_total",
        "Bytes of resources in responses.",
    ),
    (
        "isthmus_discovery_xds_rejects_total",
        "Responses that a viewer refused.",
    ),
    (
        "isthmus_discovery_xds_stale_total",
        "Answers to a response that was not on its way.",
    ),
];
const REFUSED: (&str, &str) = (
    "isthmus_discovery_xds_refused_total",
    "Viewers that were refused, by reason.",
);
const DROPPED: (&str, &str) = (
    "isthmus_discovery_xds_dropped_total",
    "Connections that were not served, by reason.",
);
const UNKNOWN: (&str, &str) = (
    "isthmus_discovery_xds_unknown_total",
    "Requests for a type that is not served here.",
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_series_of_a_name_stand_beside_one_another() {
        let all = Counters::default().series();
        let families = all.chunk_by(|one, other| one.name == other.name);
        let names: BTreeSet<_> = all.iter().map(|series| series.name).collect();
        assert_eq!(
            families.count(),
            names.len(),
            "a page would show the first only"
        );
        let bytes = all.iter().filter(|series| series.name == OF_KIND[3].0);
        let kinds: Vec<_> = bytes.map(|series| series.labels[0].1).collect();
        assert_eq!(kinds, Kind::ALL.map(Kind::as_str));
    }
}
