//! xDS for Envoys and our gateways: delta ADS, by mesh mTLS.
//!
//! ```text
//!  Mesh ──► catalog ──► offer ──► delta ──► stream ──► server
//!           encoded     of one    what to   sends      accepts,
//!           once        viewer    send      it         TLS
//! ```
//! Everything left of `stream` is pure. Who may ask is decided in [`viewer`].

pub mod settings;
pub mod viewer;
pub mod resource;
pub mod buckets;
pub mod catalog;
pub mod offer;
pub mod delta;
pub mod audience;
mod stream;
mod server;

pub use server::{Listeners, Server, Unusable};
pub use settings::Settings;
