//! What the xDS server is told when it is made; every bound has a name here.

use std::time::Duration;

use super::{catalog::Ground, viewer::Admission};

/// Settings of the xDS server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is served.
    pub ground: Ground,
    /// Who is served.
    pub admission: Admission,
    /// How much.
    pub limits: Limits,
}

/// The bounds of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; the newest is closed.
    pub connections: usize,
    /// TLS handshakes at a time; the newest is closed.
    pub handshakes: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// Viewers (streams) at a time; the newest is refused.
    pub viewers: usize,
    /// How long a stream may wait before its first request.
    pub first_request: Duration,
    /// Resource names of one kind that a stream may ask for.
    pub names: usize,
    /// The size of a request in bytes.
    pub request_bytes: usize,
    /// How often a silent connection is asked for a sign of life.
    pub ping: Duration,
    /// How long that may take before the connection is closed.
    pub pong: Duration,
    /// How long streams have to end when the server stops.
    pub stop: Duration,
}

impl Settings {
    /// Settings with default bounds.
    #[must_use]
    pub fn new(ground: Ground, admission: Admission) -> Self {
        Self {
            ground,
            admission,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshakes: 128,
            handshake: Duration::from_secs(10),
            viewers: 10_000,
            first_request: Duration::from_secs(10),
            names: 65_536,
            request_bytes: 16 << 20,
            ping: Duration::from_secs(20),
            pong: Duration::from_secs(10),
            stop: Duration::from_secs(5),
        }
    }
}
