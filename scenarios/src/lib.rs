//! Worlds of real parts, the faults in them, and what must hold.
//!
//! A [`topology`] says what stands where; [`world`] makes it so, out of what
//! [`peers`] finds or builds: real API servers with their controllers, network
//! namespaces as nodes and pods, real Envoys, and our own roles as a user runs
//! them. [`probe`] looks into it, [`expect`] judges, [`report`] tells.
//!
//! ```text
//!             wan 172.31.0.0/24 (bridge in a namespace of its own)
//!      ┌───────────┬───────────┬─────┴─────┬───────────┐
//!   c1 node     c1 gateway    desk     c2 node     c2 gateway
//!   API server      │      (the test)  API server      │
//!   10.10.0.1 ──────┴── pods          10.10.0.1 ───────┴── pods
//!        10.10.0.0/24                      10.10.0.0/24
//! ```
//!
//! Nothing here is used by the product; the scenarios are `tests/`.

pub mod topology;

pub mod run;

pub mod netns;

pub mod loopback;

pub mod rootfs;

pub mod process;

pub mod peers;

pub mod world;

pub mod apiserver;

pub mod content;

pub mod hello;

pub mod load;

pub mod picture;

pub mod crowd;

pub mod kubectl;

pub mod recorder;

pub mod sidecar;

pub mod audit;

pub mod dial;

pub mod metric;
pub mod verdict;

pub mod probe;

pub mod envoy;

pub mod usage;

pub mod witness;

pub mod expect;

pub mod report;

pub mod guide;

pub mod demo;
