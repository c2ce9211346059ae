//! When istiod pushed, read from its log.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use scenarios::{
    probe::eventually,
    topology::{GATEWAY, SYSTEM_NAMESPACE},
    world::{Cluster, cluster::istio::ISTIOD},
};

use super::cost::Both;
use crate::istio::OURS;

/// What istiod pushes, as far as it is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Push {
    /// All listeners.
    Listeners,
    /// Endpoints, in a push of more types.
    Endpoints,
    /// Endpoints, and nothing else.
    EndpointsAlone,
}

impl Push {
    /// How a line of it begins after its time: `info` for all but a push of endpoints alone
    /// (`pushDeltaXds` in istiod's `delta.go`).
    fn line(self) -> &'static str {
        match self {
            Self::Listeners => "info\tdelta\tLDS: PUSH",
            Self::Endpoints => "info\tdelta\tEDS: PUSH INC",
            Self::EndpointsAlone => "debug\tdelta\tEDS: PUSH INC",
        }
    }
}

/// Has istiod log its pushes of endpoints alone too, by the page of its that `istioctl admin
/// log` asks.
pub(super) fn log_every(cluster: &Cluster) -> Result<()> {
    let page = SocketAddr::from((Ipv4Addr::LOCALHOST, CONTROL));
    let mut stream = cluster.pod(ISTIOD)?.netns().connect(page, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let level = r#"{"output_level":"debug"}"#;
    let length = level.len();
    let request = format!(
        "PUT /scopej/delta HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{level}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 202 "), "{page}: {answer}");
    Ok(())
}

/// When istiod had sent this to each, after a moment.
pub(super) async fn pushes(
    cluster: &Cluster,
    what: Push,
    since: SystemTime,
) -> Result<Both<SystemTime>> {
    let process = cluster.pod(ISTIOD)?.processes().first();
    let log = process.context("istiod has no program")?.log();
    // The line comes after the push, and can come after its effect.
    eventually("istiod's log has the push", LIMIT, async || {
        let log = fs::read_to_string(log)?;
        let of = |gateway| {
            let found = push(&log, what, gateway, since);
            found.with_context(|| format!("istiod's log has no {what:?} to {gateway}"))
        };
        Ok(Both {
            envoy: of(GATEWAY)?,
            ours: of(OURS)?,
        })
    })
    .await
}

/// Lines are `<time>\t<level>\tdelta\t<type>: PUSH for node:<pod>.<namespace> ...`.
fn push(log: &str, what: Push, gateway: &str, since: SystemTime) -> Option<SystemTime> {
    let line = what.line();
    let wanted = format!("\t{line} for node:{gateway}-0.{SYSTEM_NAMESPACE} ");
    let pushed = log.lines().filter(|line| line.contains(&wanted));
    let time = |line: &str| humantime::parse_rfc3339(line.split('\t').next()?).ok();
    pushed.filter_map(time).find(|time| *time >= since)
}

/// The port of those pages, on the loopback of istiod's pod.
const CONTROL: u16 = 9876;
const LIMIT: Duration = Duration::from_secs(5);
