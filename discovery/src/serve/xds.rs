//! xDS for Envoys and our gateways: delta ADS, by mesh mTLS.
//!
//! ```text
//!  Mesh ──► catalog ──► offer ──► delta ──► stream ──► server
//!           encoded     of one    what to   sends      accepts,
//!           once        viewer    send      it         TLS
//! ```
//! Everything left of `stream` is pure. Who may ask is decided in [`viewer`].

pub mod audience;
pub mod buckets;
pub mod catalog;
pub mod delta;
pub mod offer;
pub mod resource;
mod server;
pub mod settings;
mod stream;
pub mod viewer;

pub use server::{Listeners, Server, Unusable};
pub use settings::Settings;
