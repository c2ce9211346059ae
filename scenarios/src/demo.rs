//! `isthmus demo`: two clusters in two networks on one machine, one mesh in front of them,
//! and things to try.
//!
//! ```text
//!  c1: API server ◄─ wire ── discovery of c2      c2: API server ◄─ wire ── discovery of c1
//!      discovery, gateway, trust agent                discovery, gateway, trust agent
//!      client ─ sidecar ─┬─ v1                        client ─ sidecar ─── v2
//!                        └─────────── wire ─► gateway of c2 ─► sidecar ─── v2
//! ```
//! API servers and applications are in this process, our roles are processes of their own: they
//! can be killed. Sidecars are one or the other: our own small ones, or real Envoys. `mesh` is
//! all of it, `eye` looks at it, `picture` is what was seen; `play` are things to try, `script`
//! tries them all.

pub mod calls;

pub mod eye;

pub mod mesh;

pub mod picture;

pub mod play;

pub mod script;

pub use mesh::{Mesh, Order, two_clusters};
pub use picture::Picture;
pub use play::Play;
pub use script::Script;
