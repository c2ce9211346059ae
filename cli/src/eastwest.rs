//! `isthmus eastwest`: the gateway as a process.

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use eastwest::{config::Listen, status::Status};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Inspect, Pages, Servers},
    config_file::ConfigFile,
    process::{self, Threads},
};

/// An address of the process, and what it serves there.
#[derive(Debug)]
pub(crate) struct Door {
    /// What says so, for errors.
    setting: &'static str,
    address: SocketAddr,
    pages: Pages,
}

/// Runs the gateway until a signal ends it and it has drained.
///
/// # Errors
/// When the configuration is not valid or the gateway can't start.
pub(crate) fn run(file: &ConfigFile) -> Result<ExitCode> {
    let valid = file.read(eastwest::Config::validate)?;
    process::run(Threads::One, |cancel| serve(valid, Vec::new(), cancel))
}

/// Runs a gateway with its pages, and `more` of them, until it has drained.
///
/// # Errors
/// When it can't start.
pub(crate) async fn serve(
    config: eastwest::Validated,
    more: Vec<Door>,
    cancel: CancellationToken,
) -> Result<ExitCode> {
    let mut doors = Door::all(&config.listen);
    doors.extend(more);
    let gateway = eastwest::start(config, cancel).context("the gateway cannot start")?;
    let role: Arc<dyn Inspect> = Arc::new(gateway.status());
    // The pages outlive the signal: a load balancer must see "not ready" during the drain.
    let ended = CancellationToken::new();
    let mut servers = Servers::default();
    for door in doors {
        let (role, ended) = (Arc::clone(&role), ended.clone());
        servers
            .serve(door.setting, door.address, door.pages, role, ended)
            .await?;
    }
    gateway.join().await;
    ended.cancel();
    servers.join().await;
    Ok(ExitCode::SUCCESS)
}

impl Door {
    /// One for metrics alone.
    pub(crate) fn metrics(setting: &'static str, address: SocketAddr) -> Self {
        let pages = Pages {
            metrics: true,
            ..Pages::default()
        };
        Self {
            setting,
            address,
            pages,
        }
    }

    fn all(listen: &Listen) -> Vec<Self> {
        let readiness = Pages {
            readiness: true,
            ..Pages::default()
        };
        let debug = Pages {
            debug: true,
            ..Pages::default()
        };
        let both = Pages {
            metrics: true,
            ..readiness
        };
        let door = |setting, address, pages| Self {
            setting,
            address,
            pages,
        };
        vec![
            door("listen.readiness", listen.readiness, readiness),
            door("listen.metrics", listen.metrics, both),
            door("listen.debug", listen.debug, debug),
        ]
    }
}

impl Inspect for Status {
    fn ready(&self) -> Result<String, String> {
        if Status::ready(self) {
            return Ok("ready".to_owned());
        }
        Err("no complete route table yet, or draining".to_owned())
    }

    fn metrics(&self) -> String {
        Status::metrics(self)
    }

    fn debug(&self, page: &str) -> Option<Value> {
        Status::debug(self, page)
    }
}
