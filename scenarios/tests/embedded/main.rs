//! Embedded API servers, as our own parts use them: nothing is installed, no root is needed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests"
)]

mod bodies;
mod bookmarks;
mod end;
mod faults;
mod ingest;
mod memory;
mod workloads;
mod world;
