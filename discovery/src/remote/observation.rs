//! What is told of a cluster, for the picture.

use std::collections::BTreeSet;

use super::{
    project::{Fact, Kind},
    state::Uid,
    watch::{Change, Revision},
};
use crate::model::ClusterId;

/// What somebody observed about a cluster, for the picture.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) cluster: ClusterId,
    pub(crate) news: News,
}

/// What was observed.
#[derive(Debug)]
pub(crate) enum News {
    /// There is such a cluster; nothing is known of it.
    Joined,
    /// Objects changed, at that revision.
    Changed(Kind, Change<Fact>, Revision),
    /// Whatever happened to a kind up to that revision is known.
    Reached(Kind, Revision),
    /// The cluster does without a kind. What was known of it stays.
    Absent(Kind),
    /// The cluster is no member any more.
    Left,
    /// The own cluster told which clusters its secrets name. Each that can be followed has
    /// joined.
    Roster(BTreeSet<ClusterId>),
    /// The cluster said who it is.
    Identified(Uid),
}
