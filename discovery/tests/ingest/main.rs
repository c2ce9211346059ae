//! The ingest against API servers that do what is asked, and then do not.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests"
)]

mod api_server;
mod credential;
mod membership;
mod outage;
mod picture;
mod restart;
mod world;
