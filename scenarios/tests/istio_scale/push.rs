//! When istiod pushed, read from its log.

use std::{fs, time::SystemTime};

use anyhow::{Context, Result};
use scenarios::{
    topology::{GATEWAY, SYSTEM_NAMESPACE},
    world::{Cluster, cluster::istio::ISTIOD},
};

use super::cost::Both;
use crate::istio::OURS;

/// When istiod had sent a change of this type to each, after a moment.
pub(super) fn pushes(cluster: &Cluster, kind: &str, since: SystemTime) -> Result<Both<SystemTime>> {
    let process = cluster.pod(ISTIOD)?.processes().first();
    let log = process.context("istiod has no program")?.log();
    let log = fs::read_to_string(log)?;
    let of = |gateway| {
        let found = push(&log, kind, gateway, since);
        found.with_context(|| format!("istiod's log has no push of {kind} to {gateway}"))
    };
    Ok(Both {
        envoy: of(GATEWAY)?,
        ours: of(OURS)?,
    })
}

/// Lines are `<time>\tinfo\tdelta\tLDS: PUSH for node:<pod>.<namespace> ...`.
fn push(log: &str, kind: &str, gateway: &str, since: SystemTime) -> Option<SystemTime> {
    let [whole, part] = ["PUSH", "PUSH INC"]
        .map(|push| format!("\t{kind}: {push} for node:{gateway}-0.{SYSTEM_NAMESPACE} "));
    let pushed = log
        .lines()
        .filter(|line| line.contains(&whole) || line.contains(&part));
    let time = |line: &str| humantime::parse_rfc3339(line.split('\t').next()?).ok();
    pushed.filter_map(time).find(|time| *time >= since)
}
