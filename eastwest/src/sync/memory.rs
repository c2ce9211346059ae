//! The routes of the last table, as lines that outlive the process. Pure.
//!
//! JSON in a [journal], so that an operator can read it in an outage, and a change costs what
//! changed. Each batch of lines begins with a head, whose facts hold for all from there on.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use trust::store::{Broken, Seal, journal};

use crate::{
    config::Config,
    listener::ListenerSpec,
    route::{Name, RouteSpec, Table},
};

/// What is kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// What holds for all of it.
    pub head: Head,
    /// The routes, sorted by listener and name.
    pub routes: Vec<Arc<RouteSpec>>,
}

/// What holds for a whole memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    /// Whose routes they are.
    pub edge: Edge,
    /// When the source of routes was in touch for the last time, in milliseconds since
    /// 1970.
    seen: u64,
    /// Where the source said to listen.
    pub listeners: Vec<ListenerSpec>,
}

/// What a line says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Head(Head),
    /// The name has none of the routes that it had.
    Without(Name),
    Route(Arc<RouteSpec>),
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

impl Head {
    /// The head of what is kept for a gateway at `edge`.
    #[must_use]
    pub fn new(edge: Edge, seen: SystemTime, listeners: Vec<ListenerSpec>) -> Self {
        let seen = seen.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            edge,
            seen: u64::try_from(seen.as_millis()).unwrap_or(u64::MAX),
            listeners,
        }
    }

    /// When the source of routes was in touch for the last time.
    #[must_use]
    pub fn seen(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.seen)
    }
}

impl Memory {
    /// The memory of these routes.
    #[must_use]
    pub fn new(head: Head, mut routes: Vec<Arc<RouteSpec>>) -> Self {
        routes.sort_by(|a, b| (&a.listener, &a.sni).cmp(&(&b.listener, &b.sni)));
        Self { head, routes }
    }

    /// The lines of a journal that has nothing else.
    pub(crate) fn into_lines(self) -> impl Iterator<Item = io::Result<Vec<u8>>> {
        let routes = self.routes.into_iter().map(Line::Route);
        [Line::Head(self.head)].into_iter().chain(routes).map(bytes)
    }

    /// As the bytes of a file.
    ///
    /// # Errors
    /// Never for what [`Memory::new`] makes.
    pub fn encode(self) -> io::Result<Vec<u8>> {
        journal::encode(SEAL, [self.into_lines()])
    }

    /// From the bytes of a file, made at the same `edge`, with the number of bytes at its end
    /// that are of no use.
    ///
    /// # Errors
    /// Why they are none.
    pub fn decode(bytes: &[u8], edge: &Edge) -> Result<(Self, usize), Flaw> {
        let contents = journal::decode(SEAL, bytes)?;
        let content = |flaw: &str| Flaw::Content(flaw.to_owned());
        let mut now = None;
        let mut routes: BTreeMap<Name, Vec<Arc<RouteSpec>>> = BTreeMap::new();
        for line in contents.batches.iter().flatten() {
            let line = serde_json::from_slice(line).map_err(|e| content(&e.to_string()))?;
            match line {
                Line::Head(head) if head.edge != *edge => return Err(Flaw::Edge),
                Line::Head(head) => now = Some(head),
                Line::Without(name) => _ = routes.remove(&name),
                Line::Route(route) => routes.entry(route.name()).or_default().push(route),
            }
        }
        let memory = Self {
            head: now.ok_or_else(|| content("no head"))?,
            routes: routes.into_values().flatten().collect(),
        };
        Ok((memory, contents.unused))
    }
}

/// The lines that make a memory of one table one of the next.
pub(crate) fn changes(
    head: Head,
    table: &Table,
    before: &Table,
) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    let differing = table.differing(before).into_iter();
    let lines = differing.flat_map(|name| {
        let routes = table.named(&name).iter().map(|route| route.shared_spec());
        let routes: Vec<Line> = routes.map(Line::Route).collect();
        [Line::Without(name)].into_iter().chain(routes)
    });
    [Line::Head(head)].into_iter().chain(lines).map(bytes)
}

#[expect(clippy::needless_pass_by_value, reason = "it ends here")]
fn bytes(line: Line) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&line)?)
}

/// Another form of anything below it needs another version; a test compares with a text.
pub(crate) const SEAL: Seal = Seal {
    of: "isthmus eastwest table",
    version: "3",
};

#[cfg(test)]
mod tests;
