//! One line of JSON for each connection.
//!
//! Workers hand over a [`Record`]; a thread of its own makes the line and writes it, so
//! that a slow reader of the log delays no connection. Beyond a bound lines are lost,
//! and counted.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, mpsc::Receiver},
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::{
    error::Close,
    relay::carried::Carried,
    route::{Endpoint, Route},
};

/// What is known about a connection at its end.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it was accepted.
    pub began: SystemTime,
    /// From then to its end.
    pub lasted: Duration,
    /// From then until an endpoint was reached.
    pub connected_after: Option<Duration>,
    /// The client.
    pub peer: SocketAddr,
    /// The name asked for, when it has no route.
    pub strange_sni: Option<Box<str>>,
    /// The route.
    pub route: Option<Arc<Route>>,
    /// The endpoint that was reached.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Bytes carried.
    pub carried: Carried,
    /// How it ended.
    pub close: Close,
}

/// A line of the log. Fields that are not known are left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line<'a> {
    began: String,
    peer: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a str>,
    received_bytes: u64,
    sent_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_ms: Option<f64>,
    duration_ms: f64,
    reason: &'static str,
    side: &'static str,
    response_flag: &'static str,
}

impl Record {
    /// The line that the log shows.
    #[must_use]
    pub fn line(&self) -> Line<'_> {
        let spec = self.route.as_ref().map(|route| route.spec());
        let workload = self.endpoint.as_ref().map(|endpoint| &*endpoint.workload);
        let known = |name: &'_ str| !name.is_empty();
        Line {
            began: humantime::format_rfc3339_millis(self.began).to_string(),
            peer: self.peer,
            sni: self.strange_sni.as_deref().or(spec.map(|spec| &*spec.sni)),
            service: spec.map(|spec| &*spec.service.host).filter(|n| known(n)),
            endpoint: self.endpoint.as_ref().map(|endpoint| endpoint.address),
            workload: workload
                .map(|workload| &*workload.name)
                .filter(|n| known(n)),
            cluster: workload
                .map(|workload| &*workload.cluster)
                .filter(|n| known(n)),
            received_bytes: self.carried.received,
            sent_bytes: self.carried.sent,
            connected_ms: self.connected_after.map(milliseconds),
            duration_ms: milliseconds(self.lasted),
            reason: self.close.label(),
            side: self.close.side().label(),
            response_flag: self.close.flag(),
        }
    }
}

/// Writes the lines of all records until every sender is gone.
///
/// # Errors
/// The writer's: there is no log from then on.
pub fn write(records: &Receiver<Record>, mut to: impl Write) -> io::Result<()> {
    while let Ok(first) = records.recv() {
        write_line(&first, &mut to)?;
        while let Ok(next) = records.try_recv() {
            write_line(&next, &mut to)?;
        }
        to.flush()?;
    }
    Ok(())
}

fn write_line(record: &Record, to: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *to, &record.line())?;
    to.write_all(b"\n")
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
