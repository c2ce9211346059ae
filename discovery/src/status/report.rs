//! What `/debug/clusters` shows, and metrics tell in numbers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use crate::{
    merge::tally::Dropped,
    model::{ClusterId, Network},
    registry::plan::Refusal,
};

/// What `/debug/clusters` shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) clusters: Vec<ClusterReport>,
    pub(crate) missing: BTreeSet<ClusterId>,
    pub(crate) secrets: Secrets,
    pub(crate) snapshot: MemoryReport,
}

/// How one cluster stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterReport {
    pub(crate) cluster: ClusterId,
    pub(crate) network: Option<Network>,
    pub(crate) state: &'static str,
    pub(crate) proof_of_life_age_ms: Option<u64>,
    /// Whether what is known of it is from before this process.
    pub(crate) remembered: bool,
    /// How old that is.
    pub(crate) remembered_age_ms: Option<u64>,
    pub(crate) objects: usize,
    pub(crate) endpoints: usize,
    pub(crate) ready_endpoints: usize,
    pub(crate) last_error: Option<String>,
    pub(crate) last_error_age_ms: Option<u64>,
    pub(crate) secret: Option<Arc<str>>,
    pub(crate) uid: Option<Arc<str>>,
    pub(crate) objects_by_kind: BTreeMap<&'static str, usize>,
    pub(crate) watches: BTreeMap<&'static str, String>,
    /// Entries of EndpointSlices that are not used, by reason.
    pub(crate) ignored_endpoints: BTreeMap<&'static str, usize>,
    pub(crate) notes: Vec<String>,
}

/// How the remote secrets stand.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Secrets {
    /// Whether they were listed once.
    pub(crate) listed: bool,
    pub(crate) last_error: Option<String>,
    pub(crate) refused: Vec<Refusal>,
}

/// How what is kept over a restart stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemoryReport {
    pub(crate) written_age_ms: Option<u64>,
    pub(crate) last_error: Option<String>,
    pub(crate) set_aside: Option<String>,
    pub(crate) dropped: Vec<Dropped>,
}
