//! The ingest against API servers that do what is asked, and then do not.

mod api_server;
mod credential;
mod membership;
mod outage;
mod picture;
mod world;
