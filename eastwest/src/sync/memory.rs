//! The routes of the last table, as bytes that outlive the process. Pure.
//!
//! JSON below a [`Seal`], so that an operator can read it in an outage.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use trust::store::{Broken, Seal};

use crate::{config::Config, listener::ListenerSpec, route::RouteSpec};

/// What is kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Memory {
    /// Whose routes they are.
    pub edge: Edge,
    /// When the source of routes was in touch for the last time, in milliseconds since
    /// 1970.
    seen: u64,
    /// Where the source said to listen.
    pub listeners: Vec<ListenerSpec>,
    /// The routes, sorted by listener and name.
    pub routes: Vec<Arc<RouteSpec>>,
}

/// The place that routes are for: those of another one are of no use here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Edge {
    cluster: String,
    network: String,
}

/// Why bytes are no memory for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not what was written, or not by a gateway.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// Written wrongly.
    #[error("its content is no table: {0}")]
    Content(String),
    /// Of another gateway.
    #[error("it is of another cluster or network")]
    Edge,
}

impl Edge {
    /// Where a gateway with these settings stands.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            cluster: config.cluster.clone(),
            network: config.network.clone(),
        }
    }
}

impl Memory {
    /// The memory of these routes.
    #[must_use]
    pub fn new(
        edge: Edge,
        seen: SystemTime,
        mut routes: Vec<Arc<RouteSpec>>,
        listeners: Vec<ListenerSpec>,
    ) -> Self {
        routes.sort_by(|a, b| (&a.listener, &a.sni).cmp(&(&b.listener, &b.sni)));
        let seen = seen.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seen = u64::try_from(seen.as_millis()).unwrap_or(u64::MAX);
        Self {
            edge,
            seen,
            listeners,
            routes,
        }
    }

    /// When the source of routes was in touch for the last time.
    #[must_use]
    pub fn seen(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.seen)
    }

    /// As bytes.
    ///
    /// # Errors
    /// Never for what [`Memory::new`] makes.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        Ok(SEAL.close(&serde_json::to_vec(self)?))
    }

    /// From bytes, made at the same `edge`.
    ///
    /// # Errors
    /// Why they are none.
    pub fn decode(bytes: &[u8], edge: &Edge) -> Result<Self, Flaw> {
        let body = SEAL.open(bytes)?;
        let memory: Self =
            serde_json::from_slice(body).map_err(|error| Flaw::Content(error.to_string()))?;
        match memory.edge == *edge {
            true => Ok(memory),
            false => Err(Flaw::Edge),
        }
    }
}

/// Another form of anything below it needs another version; a test compares with a text.
pub(crate) const SEAL: Seal = Seal {
    of: "isthmus eastwest table",
    version: "2",
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::static_routes::parse;

    fn edge() -> Edge {
        Edge {
            cluster: "c1".to_owned(),
            network: "network1".to_owned(),
        }
    }

    fn memory() -> Memory {
        let text = "routes:
- { sni: b, alpn: [istio], connectTimeout: 2s, service: { host: b.x, name: b, namespace: x },
    endpoints: [ { address: '10.0.0.1:80', weight: 2, priority: 1, health: draining,
                   workload: { name: w, namespace: x, canonicalName: c,
                               canonicalRevision: v1, cluster: c1 } } ] }
- { sni: a, alpn: [istio] }
- { listener: 0.0.0.0_15012, sni: '*', alpn: null, closed: true, idleTimeout: 1m, maxDuration: 1h,
    maxConnections: 100, bySource: true }";
        let seen = UNIX_EPOCH + Duration::from_millis(5);
        let listener = ListenerSpec {
            name: "0.0.0.0_15012".into(),
            address: "0.0.0.0:15012".parse().unwrap(),
        };
        Memory::new(edge(), seen, parse(text).unwrap(), vec![listener])
    }

    #[test]
    fn what_is_read_is_what_was_written_in_a_form_of_its_version() {
        let bytes = memory().encode().unwrap();
        assert_eq!(Memory::decode(&bytes, &edge()), Ok(memory()));
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, include_str!("memory/version_2"));
    }

    #[test]
    fn what_was_changed_or_written_elsewhere_is_none() {
        let mut bytes = memory().encode().unwrap();
        let elsewhere = Edge {
            cluster: "c2".to_owned(),
            ..edge()
        };
        assert_eq!(Memory::decode(&bytes, &elsewhere), Err(Flaw::Edge));
        bytes.pop();
        let read = Memory::decode(&bytes, &edge());
        assert_eq!(read, Err(Flaw::Broken(Broken::Checksum)));
        let other = SEAL.close(b"{}");
        let read = Memory::decode(&other, &edge());
        assert!(matches!(read, Err(Flaw::Content(_))), "{read:?}");
    }
}
