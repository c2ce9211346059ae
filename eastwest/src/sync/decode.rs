//! Understands a control plane's resources: pure functions from bytes to values.
//!
//! Two shapes lead to the same routes. In discovery's, one listener `mesh` with one chain
//! (the mesh's protocols, `sni_cluster`, `tcp_proxy`) is the door, and a cluster is a route,
//! named by its SNI. In istiod's, a listener says where it listens and has a chain for each
//! route. An assignment has the endpoints of a cluster.
//! What is not understood is named, never guessed: no match is widened and no filter
//! skipped that could have refused a connection (istio-eastwest.md §8.3).

pub mod assignment;
pub mod chain;
pub mod cluster;
pub mod listener;
pub mod wire;

use std::time::Duration;

use envoy_types::pb::{
    envoy::config::core::v3::Metadata,
    google::protobuf::{Duration as Seconds, Struct, Value, value::Kind as ValueKind},
};
use prost::Message;

use crate::config::Span;

/// Why a resource has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No message of its type: refused, and what was there before stays.
    #[error("cannot be decoded: {0}")]
    Undecodable(String),
    /// Something in it is not understood: taken, and closed.
    #[error("not understood: {0}")]
    NotUnderstood(String),
}

fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, Unfit> {
    M::decode(bytes).map_err(|e| Unfit::Undecodable(e.to_string()))
}

fn not_understood<T>(what: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit::NotUnderstood(what.into()))
}

/// A time above zero; none of another sort means anything.
fn span(of: Seconds) -> Option<Span> {
    let seconds = u64::try_from(of.seconds).ok()?;
    let nanos = u32::try_from(of.nanos).ok()?;
    let time = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()))?;
    (!time.is_zero()).then_some(Span(time))
}

/// The text at `key` of a filter's metadata.
fn metadata_text<'m>(metadata: Option<&'m Metadata>, filter: &str, key: &str) -> Option<&'m str> {
    text(field(metadata?.filter_metadata.get(filter)?, key)?)
}

fn field<'m>(of: &'m Struct, key: &str) -> Option<&'m ValueKind> {
    kind(of.fields.get(key)?)
}

fn kind(value: &Value) -> Option<&ValueKind> {
    value.kind.as_ref()
}

fn text(kind: &ValueKind) -> Option<&str> {
    match kind {
        ValueKind::StringValue(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
