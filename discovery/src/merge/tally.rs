//! What is told of a cluster in the picture beside its endpoints.

use std::{collections::BTreeMap, time::SystemTime};

use super::shard::Ignored;
use crate::{model::ClusterId, remote::project::Kind};

/// A remembered cluster that is not used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Dropped {
    pub(crate) cluster: ClusterId,
    pub(crate) reason: String,
}

/// Numbers of one cluster, for its status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) objects: BTreeMap<Kind, usize>,
    pub(crate) ignored: BTreeMap<Ignored, usize>,
    /// Its last proof of life before this process, while that is all that is known.
    pub(crate) remembered: Option<SystemTime>,
    /// What an operator should know about its services and gateways.
    pub(crate) notes: Vec<String>,
}
