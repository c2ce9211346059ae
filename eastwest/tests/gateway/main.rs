//! Whole gateways on loopback: real sockets, real TLS, a control plane in the process.

mod carry;
mod end;
mod pass;
mod refuse;
//mod sync;
mod world;
