//! Understands the resources of discovery's shape: pure functions from bytes to values.
//!
//! What a decoder understands it takes out of the message; a message in which anything is
//! left after that says something that this sidecar would not do, and is refused.

pub mod assignment;
pub mod cluster;
pub mod listener;
pub mod routes;
pub mod tls;

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use envoy_types::pb::{
    envoy::config::core::v3::{
        Address, ConfigSource, address::Address as AddressKind,
        config_source::ConfigSourceSpecifier, socket_address::PortSpecifier,
    },
    google::protobuf::{Any, Duration as DurationMessage, Struct, value::Kind},
};
use prost::{Message, Name};

pub use self::{assignment::Assignment, cluster::Cluster, listener::Listener, routes::Routes};

/// Why a resource is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(String);

/// Texts by name, to match an endpoint's by.
pub type Labels = BTreeMap<String, String>;

impl Unfit {
    /// Refused for this.
    pub(super) fn because(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, Unfit> {
    M::decode(bytes).map_err(Unfit::because)
}

/// The message in an `Any`, which must be of this very type.
fn unpacked<M: Message + Name + Default>(any: Option<Any>) -> Result<M, Unfit> {
    let any = any.unwrap_or_default();
    if any.type_url != M::type_url() {
        let (wanted, found) = (M::type_url(), any.type_url);
        return Err(Unfit::because(format!("wanted {wanted}, found `{found}`")));
    }
    message(&any.value)
}

/// Everything that was understood has been taken out of `rest`: nothing may be left.
fn nothing_left<M: Default + PartialEq + fmt::Debug>(what: &str, rest: &M) -> Result<(), Unfit> {
    if *rest == M::default() {
        return Ok(());
    }
    let rest = format!("{rest:?}");
    let shown: String = rest.chars().take(SHOWN).collect();
    Err(Unfit::because(format!("not understood in {what}: {shown}")))
}

fn not_understood<T>(what: &str) -> Result<T, Unfit> {
    Err(Unfit::because(format!("not understood: {what}")))
}

/// The only one of a list.
fn only<T>(what: &str, list: Vec<T>) -> Result<T, Unfit> {
    let count = list.len();
    let mut list = list.into_iter();
    match (list.next(), count) {
        (Some(one), 1) => Ok(one),
        _ => Err(Unfit::because(format!("{count} of {what}, wanted one"))),
    }
}

fn socket(address: Option<Address>) -> Result<SocketAddr, Unfit> {
    let Some(AddressKind::SocketAddress(mut socket)) = address.and_then(|a| a.address) else {
        return not_understood("an address that is no socket");
    };
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier.take() else {
        return not_understood("an address without a port");
    };
    let ip = std::mem::take(&mut socket.address);
    nothing_left("an address", &socket)?;
    let ip = ip.parse().map_err(Unfit::because)?;
    Ok(SocketAddr::new(
        ip,
        port.try_into().map_err(Unfit::because)?,
    ))
}

/// Resources come over the one stream there is.
fn by_ads(source: Option<ConfigSource>) -> Result<(), Unfit> {
    match source.and_then(|source| source.config_source_specifier) {
        Some(ConfigSourceSpecifier::Ads(_)) => Ok(()),
        _ => not_understood("a source of configuration other than ADS"),
    }
}

/// Envoy's default for a cluster where nothing is said is 5 s; a sidecar is always told.
fn duration(message: Option<DurationMessage>) -> Result<Duration, Unfit> {
    let Some(DurationMessage { seconds, nanos }) = message else {
        return not_understood("no duration");
    };
    let seconds = seconds.try_into().map_err(Unfit::because)?;
    Ok(Duration::new(
        seconds,
        nanos.try_into().map_err(Unfit::because)?,
    ))
}

fn labels(fields: Struct) -> Result<Labels, Unfit> {
    let text = |(name, value): (String, _)| match value {
        Some(Kind::StringValue(text)) => Ok((name, text)),
        _ => not_understood("a label that is no text"),
    };
    let fields = fields.fields.into_iter();
    fields
        .map(|(name, value)| text((name, value.kind)))
        .collect()
}

/// How much of what is not understood is shown.
const SHOWN: usize = 300;

#[cfg(test)]
mod tests;
