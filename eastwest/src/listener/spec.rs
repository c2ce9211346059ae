//! A listener as its source states it.

use std::{net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};

/// An address to listen on, for the routes that name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
}
