//! Whole gateways on loopback: real sockets, real TLS, a control plane in the process.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails here"
)]

mod bounds;
mod carry;
mod control_plane;
mod eject;
mod end;
mod istiod;
mod pass;
mod refuse;
mod remember;
mod sync;
mod world;
