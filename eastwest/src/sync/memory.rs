//! The routes of the last table, as bytes that outlive the process. Pure.
//!
//! JSON below a line with version and SHA-256, so that an operator can read it in an
//! outage. Nothing is ever read in part: one bit that differs, and there is no memory.

use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{config::Config, route::RouteSpec};

/// What is kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Memory {
    /// Whose routes they are.
    pub edge: Edge,
    /// When the source of routes was in touch for the last time, in milliseconds since
    /// 1970.
    seen: u64,
    /// The routes, sorted by name.
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
    /// Something else altogether.
    #[error("it does not begin as a gateway's table does")]
    Foreign,
    /// Written by a gateway that is older or newer.
    #[error("it has version {0}, and this gateway reads version {VERSION}")]
    Version(String),
    /// Not what was written.
    #[error("it is truncated or was changed: its SHA-256 is not the one that it names")]
    Checksum,
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
    pub fn new(edge: Edge, seen: SystemTime, mut routes: Vec<Arc<RouteSpec>>) -> Self {
        routes.sort_by(|a, b| a.sni.cmp(&b.sni));
        let seen = seen.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seen = u64::try_from(seen.as_millis()).unwrap_or(u64::MAX);
        Self { edge, seen, routes }
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
        serde_json::to_vec(self).map(|body| sealed(&body))
    }

    /// From bytes, made at the same `edge`.
    ///
    /// # Errors
    /// Why they are none.
    pub fn decode(bytes: &[u8], edge: &Edge) -> Result<Self, Flaw> {
        let end = bytes.iter().take(LONGEST_HEADER).position(|b| *b == b'\n');
        let (head, body) = bytes.split_at(end.ok_or(Flaw::Foreign)? + 1);
        let head = std::str::from_utf8(head).map_err(|_| Flaw::Foreign)?;
        let rest = head.strip_prefix(MAGIC).ok_or(Flaw::Foreign)?;
        let version = rest.split_whitespace().next().unwrap_or_default();
        if version != VERSION {
            return Err(Flaw::Version(version.to_owned()));
        }
        if head != header(body) {
            return Err(Flaw::Checksum);
        }
        let memory: Self =
            serde_json::from_slice(body).map_err(|error| Flaw::Content(error.to_string()))?;
        match memory.edge == *edge {
            true => Ok(memory),
            false => Err(Flaw::Edge),
        }
    }
}

/// A file with this content.
pub(crate) fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = header(body).into_bytes();
    bytes.extend(body);
    bytes
}

fn header(body: &[u8]) -> String {
    let mut header = format!("{MAGIC}{VERSION} sha256 ");
    for byte in Sha256::digest(body) {
        // Writing to a string does not fail.
        let _ = write!(header, "{byte:02x}");
    }
    header.push('\n');
    header
}

const MAGIC: &str = "isthmus eastwest table ";
/// Another form of anything below the header needs another one; a test compares with a
/// text.
const VERSION: &str = "1";
const LONGEST_HEADER: usize = 256;

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
- { sni: a, alpn: [istio] }";
        let seen = UNIX_EPOCH + Duration::from_millis(5);
        Memory::new(edge(), seen, parse(text).unwrap())
    }

    #[test]
    fn what_is_read_is_what_was_written_in_a_form_of_its_version() {
        let bytes = memory().encode().unwrap();
        assert_eq!(Memory::decode(&bytes, &edge()), Ok(memory()));
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, include_str!("memory/version_1"));
    }

    #[test]
    fn one_bit_that_differs_and_there_is_none() {
        let bytes = memory().encode().unwrap();
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                let read = Memory::decode(&changed, &edge());
                assert!(read.is_err(), "bit {bit} of byte {place}");
            }
            let read = Memory::decode(&bytes[..place], &edge());
            assert!(read.is_err(), "cut at {place}");
        }
        let longer = [&bytes[..], b" "].concat();
        assert_eq!(Memory::decode(&longer, &edge()), Err(Flaw::Checksum));
    }

    #[test]
    fn other_versions_and_places_are_told_apart() {
        let text = String::from_utf8(memory().encode().unwrap()).unwrap();
        let next = text.replacen("table 1 ", "table 2 ", 1);
        let read = Memory::decode(next.as_bytes(), &edge());
        assert_eq!(read, Err(Flaw::Version("2".to_owned())));
        let elsewhere = Edge {
            cluster: "c2".to_owned(),
            ..edge()
        };
        let read = Memory::decode(text.as_bytes(), &elsewhere);
        assert_eq!(read, Err(Flaw::Edge));
        assert_eq!(Memory::decode(b"{}\n", &edge()), Err(Flaw::Foreign));
    }
}
