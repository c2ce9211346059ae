//! Starts a discovery and waits for its end.

use std::sync::Arc;

use serde_json::Value;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trust::{store::WorkloadCredential, tls::LiveCredential};

use crate::{
    config::Validated,
    error::Error,
    ingest::Ingest,
    metrics,
    model::ClusterId,
    serve::xds::{Listeners, Server, Settings, audience::Audience},
    status::StatusHandle,
};

/// A discovery at work: ingest on one side, the xDS server on the other.
pub struct Discovery {
    ingest: Ingest,
    status: Status,
    tasks: TaskTracker,
}

/// How a discovery stands; cheap to clone, good from any thread.
#[derive(Clone)]
pub struct Status {
    ingest: StatusHandle,
    audience: Arc<Audience>,
}

/// Starts to watch and to serve; ends when `cancel` is cancelled. Nobody is answered before
/// the first publication of the picture.
///
/// # Errors
/// When an address can't be listened on, the credential of our own servers can't be read, or
/// there is no usable way to the own cluster.
pub async fn start(config: Validated, cancel: CancellationToken) -> Result<Discovery, Error> {
    let tasks = TaskTracker::new();
    let live = match &config.tls {
        Some(tls) => Some(LiveCredential::new(WorkloadCredential::read(
            &tls.directory,
        )?)),
        None => None,
    };
    let listeners = Listeners::bind(&config.listen, live.as_ref()).await?;
    let ingest = Ingest::start(config.clone(), cancel.clone()).await?;
    let server = Server::new(Settings::of(&config), ingest.mesh());
    let status = Status {
        ingest: ingest.status(),
        audience: server.audience(),
    };
    tasks.spawn(server.run(listeners, cancel.clone()));
    if let (Some(tls), Some(live)) = (&config.tls, live) {
        let directory = tls.directory.clone();
        tasks.spawn(async move { live.follow(directory, cancel).await });
    }
    tasks.close();
    Ok(Discovery {
        ingest,
        status,
        tasks,
    })
}

impl Discovery {
    /// A handle for health, metrics and debug views.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Waits until all has ended, after the token was cancelled.
    pub async fn join(self) {
        self.tasks.wait().await;
        self.ingest.join().await;
    }
}

impl Status {
    /// Whether the own cluster and the members are known, be it from before the start; and in
    /// both cases which clusters are not, and which from before the start only.
    ///
    /// # Errors
    /// When it is not ready.
    pub fn ready(&self) -> Result<String, String> {
        let what = readiness(&self.ingest.missing(), &self.ingest.remembered());
        match self.ingest.ready() {
            true => Ok(format!("ready{what}")),
            false => Err(format!("not ready{what}")),
        }
    }

    /// The metrics, as Prometheus reads them.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.ingest.metrics() + &metrics::series(&self.audience.series())
    }

    /// A debug view: `clusters` or `xds`; none under any other name.
    #[must_use]
    pub fn debug(&self, page: &str) -> Option<Value> {
        match page {
            "clusters" => Some(self.ingest.clusters()),
            "xds" => Some(self.audience.debug()),
            _ => None,
        }
    }
}

fn readiness(missing: &[ClusterId], remembered: &[ClusterId]) -> String {
    let mut text = String::new();
    for (what, ids) in [
        ("not yet known", missing),
        ("remembered from before the start", remembered),
    ] {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        if !names.is_empty() {
            text += &format!("; {what}: {}", names.join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_who_is_missing_and_who_is_remembered() {
        let (c1, c2, c3) = ("c1".into(), "c2".into(), "c3".into());
        assert_eq!(readiness(&[], &[]), "");
        assert_eq!(
            readiness(&[c1, c2], &[c3]),
            "; not yet known: c1, c2; remembered from before the start: c3"
        );
    }
}
