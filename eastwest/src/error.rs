//! Why a connection ended, and why a gateway did not start.
//!
//! [`Close`] is the one list of ends: each names its side, its metric label and Envoy's
//! response flag. Nothing else in the crate invents a reason.

use std::{io, net::SocketAddr, path::PathBuf};

/// Where the cause of an end lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The peer that connected to the gateway.
    Client,
    /// The workload behind the gateway, or the way to it.
    Endpoint,
    /// What the control plane said, or did not say.
    Control,
    /// The gateway itself: a limit of its own, or its end.
    Internal,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Close {
    /// Both sides ended their half.
    #[error("both sides finished")]
    Finished,
    /// Refused at `limits.connections`.
    #[error("too many connections: raise limits.connections or add gateways")]
    TooManyConnections,
    /// Refused at `limits.connectionsPerSource`.
    #[error("too many connections of one source: see limits.connectionsPerSource")]
    TooManyConnectionsOfSource,
    /// Refused at `limits.waitingHellos`.
    #[error("too many connections without a ClientHello: see limits.waitingHellos")]
    TooManyHellos,
    /// Refused at `limits.waitingHellosPerSource`.
    #[error("too many silent connections of one source: see limits.waitingHellosPerSource")]
    TooManyHellosOfSource,
    /// The first bytes are no TLS record.
    #[error("not TLS: the client must speak TLS with a mesh SNI to this port")]
    NotTls,
    /// TLS, but no ClientHello that can be read.
    #[error("the ClientHello is malformed")]
    BadHello,
    /// A ClientHello longer than `hello.bytes`.
    #[error("the ClientHello is longer than hello.bytes")]
    HelloTooLong,
    /// No whole ClientHello within `hello.timeout`.
    #[error("no whole ClientHello within hello.timeout")]
    HelloTooSlow,
    /// The client ended its half before its ClientHello was whole.
    #[error("the client left before its ClientHello was whole")]
    HelloCutShort,
    /// The client reset before its ClientHello was whole.
    #[error("the client reset before its ClientHello was whole")]
    HelloReset,
    /// A ClientHello without a server name.
    #[error("the ClientHello names no server: the client must send SNI")]
    NoSni,
    /// A server name without a route.
    #[error("no route for this SNI: is the service exported?")]
    UnknownSni,
    /// A known server name, but none of the route's protocols.
    #[error("no mesh protocol in the client's ALPN: only mesh sidecars may pass")]
    NoMeshAlpn,
    /// A server name that only a chain for any name would carry, and that is not one of
    /// `passthrough.names`.
    #[error("this name may not pass a listener for any name: see passthrough.names")]
    NameNotListed,
    /// A route whose rules are not understood here.
    #[error("the control plane's rules for this SNI are not understood: see /debug/quarantine")]
    Quarantined,
    /// A route with as many connections as it may have.
    #[error("the service has as many connections as its DestinationRule allows")]
    Overflow,
    /// A route without an endpoint that may be used.
    #[error("the service has no healthy endpoint")]
    NoEndpoint,
    /// Every endpoint tried refused or did not answer in time.
    #[error("no endpoint could be reached")]
    DialFailed,
    /// Every endpoint tried has an address that must never be dialled.
    #[error("the endpoint's address may not be dialled: see dial.allow and dial.allowLoopback")]
    DialForbidden,
    /// The process ran out of descriptors or memory for a socket.
    #[error("out of descriptors: raise the limit of open files")]
    Exhausted,
    /// The client reset.
    #[error("the client reset the connection")]
    ClientReset,
    /// The endpoint reset.
    #[error("the endpoint reset the connection")]
    EndpointReset,
    /// The client answered nothing for `relay.userTimeout` or to keepalive.
    #[error("the client is gone: it acknowledged nothing for relay.userTimeout")]
    ClientLost,
    /// The endpoint answered nothing for `relay.userTimeout` or to keepalive.
    #[error("the endpoint is gone: it acknowledged nothing for relay.userTimeout")]
    EndpointLost,
    /// Nothing moved for `relay.idle`.
    #[error("nothing moved for relay.idle")]
    Idle,
    /// Open for as long as the route allows.
    #[error("open for as long as its DestinationRule allows")]
    TooOld,
    /// Still open when `drain.limit` ran out.
    #[error("still open when drain.limit ran out")]
    Drained,
    /// The connection's task ended without saying why: a defect.
    #[error("the gateway dropped the connection: a defect, please report it")]
    Dropped,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket could not be opened for the mesh.
    #[error(
        "cannot listen on {address} for the mesh ({source}): is another process on that port? see listen.mesh"
    )]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A thread or its runtime could not be made.
    #[error("cannot start a thread ({0}): lower `workers` or raise the limit of processes")]
    Thread(#[source] io::Error),
    /// The static routes could not be read.
    #[error("cannot read the routes in {path} ({reason}): see source.file")]
    Routes {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Close {
    /// Every way to end, in the order of [`Close::index`].
    pub const ALL: [Self; 29] = [
        Self::Finished,
        Self::TooManyConnections,
        Self::TooManyConnectionsOfSource,
        Self::TooManyHellos,
        Self::TooManyHellosOfSource,
        Self::NotTls,
        Self::BadHello,
        Self::HelloTooLong,
        Self::HelloTooSlow,
        Self::HelloCutShort,
        Self::HelloReset,
        Self::NoSni,
        Self::UnknownSni,
        Self::NoMeshAlpn,
        Self::NameNotListed,
        Self::Quarantined,
        Self::Overflow,
        Self::NoEndpoint,
        Self::DialFailed,
        Self::DialForbidden,
        Self::Exhausted,
        Self::ClientReset,
        Self::EndpointReset,
        Self::ClientLost,
        Self::EndpointLost,
        Self::Idle,
        Self::TooOld,
        Self::Drained,
        Self::Dropped,
    ];

    /// Its place in [`Close::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The value of the metric label `reason`, and of the access log's field.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::TooManyConnections => "too_many_connections",
            Self::TooManyConnectionsOfSource => "too_many_connections_of_source",
            Self::TooManyHellos => "too_many_hellos",
            Self::TooManyHellosOfSource => "too_many_hellos_of_source",
            Self::NotTls => "not_tls",
            Self::BadHello => "bad_hello",
            Self::HelloTooLong => "hello_too_long",
            Self::HelloTooSlow => "hello_too_slow",
            Self::HelloCutShort => "hello_cut_short",
            Self::HelloReset => "hello_reset",
            Self::NoSni => "no_sni",
            Self::UnknownSni => "unknown_sni",
            Self::NoMeshAlpn => "no_mesh_alpn",
            Self::NameNotListed => "name_not_listed",
            Self::Quarantined => "quarantined",
            Self::Overflow => "overflow",
            Self::NoEndpoint => "no_endpoint",
            Self::DialFailed => "dial_failed",
            Self::DialForbidden => "dial_forbidden",
            Self::Exhausted => "exhausted",
            Self::ClientReset => "client_reset",
            Self::EndpointReset => "endpoint_reset",
            Self::ClientLost => "client_lost",
            Self::EndpointLost => "endpoint_lost",
            Self::Idle => "idle",
            Self::TooOld => "too_old",
            Self::Drained => "drained",
            Self::Dropped => "dropped",
        }
    }

    /// Where the cause lies.
    #[must_use]
    pub fn side(self) -> Side {
        match self {
            Self::Finished
            | Self::TooManyConnectionsOfSource
            | Self::TooManyHellosOfSource
            | Self::NotTls
            | Self::BadHello
            | Self::HelloTooLong
            | Self::HelloTooSlow
            | Self::HelloCutShort
            | Self::HelloReset
            | Self::NoSni
            | Self::NoMeshAlpn
            | Self::NameNotListed
            | Self::ClientReset
            | Self::ClientLost
            | Self::Idle => Side::Client,
            Self::UnknownSni
            | Self::Quarantined
            | Self::Overflow
            | Self::NoEndpoint
            | Self::TooOld
            | Self::DialForbidden => Side::Control,
            Self::DialFailed | Self::EndpointReset | Self::EndpointLost => Side::Endpoint,
            Self::TooManyConnections
            | Self::TooManyHellos
            | Self::Exhausted
            | Self::Drained
            | Self::Dropped => Side::Internal,
        }
    }

    /// Envoy's short response flag, as `istio_tcp_*` carries it (`-` for none).
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::UnknownSni
            | Self::NoSni
            | Self::NoMeshAlpn
            | Self::NameNotListed
            | Self::Quarantined
            | Self::NotTls => "NR",
            Self::NoEndpoint => "UH",
            Self::DialFailed | Self::DialForbidden | Self::Exhausted => "UF",
            Self::TooManyConnections
            | Self::TooManyConnectionsOfSource
            | Self::TooManyHellos
            | Self::TooManyHellosOfSource
            | Self::Overflow => "UO",
            Self::Idle => "SI",
            Self::TooOld => "DT",
            _ => "-",
        }
    }

    /// Whether the other socket must be reset rather than finished, so that nobody
    /// takes a broken stream for a whole one.
    #[must_use]
    pub fn resets(self) -> bool {
        matches!(
            self,
            Self::ClientReset
                | Self::EndpointReset
                | Self::ClientLost
                | Self::EndpointLost
                | Self::TooManyConnections
                | Self::TooManyConnectionsOfSource
                | Self::TooManyHellos
                | Self::TooManyHellosOfSource
                | Self::Drained
                | Self::Dropped
        )
    }
}

impl Side {
    /// The value of the metric label `side`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Endpoint => "endpoint",
            Self::Control => "control",
            Self::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_label_and_place() {
        for (place, close) in Close::ALL.iter().enumerate() {
            assert_eq!(close.index(), place);
            let same = Close::ALL.iter().filter(|c| c.label() == close.label());
            assert_eq!(same.count(), 1, "{close:?}");
        }
    }
}
