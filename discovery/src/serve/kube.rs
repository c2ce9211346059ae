//! The list/watch core of a Kubernetes API: what a reader may ask, and what it hears.
//!
//! ```text
//! request ─► path ─┐                               ┌─► list ──┐
//!           query ─┼─► options (list, watch) ──────┤          ├─► encode ─► answer
//!          accept ─┘    selector                   └─► watch ─┘   table      (HTTP)
//!                                                       ▲
//!                              store: items, changes ───┘
//! ```
//! It knows nothing of how objects are kept: it reads a [`Store`]. Everything but `answer` is
//! pure. It never writes, never says who may ask, and never answers a start request with a
//! part of a set: what is absent from one is gone for the reader.
//!
//! Behaviour and texts are those of kube-apiserver 1.36; `scenarios/tests/conformance` holds
//! both against one another.

pub mod accept;
pub mod answer;
pub mod column;
pub mod continuation;
pub mod encode;
pub mod item;
pub mod jsonpath;
pub mod list;
pub mod options;
pub mod path;
pub mod query;
pub mod resource;
pub mod selector;
pub mod status;
pub mod store;
pub mod table;
pub mod watch;

pub use accept::{Accept, Form};
pub use answer::{Body, Rhythm, read};
pub use item::{Change, Item};
pub use path::{Call, Target};
pub use query::Query;
pub use resource::Resource;
pub use selector::LabelSelector;
pub use status::Status;
pub use store::{Expired, Store};
