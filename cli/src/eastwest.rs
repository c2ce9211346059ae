//! `isthmus eastwest`: the gateway as a process.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use eastwest::status::Status;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Inspect, Pages, Servers},
    config_file::ConfigFile,
    process::{self, Threads},
};

/// Runs the gateway until a signal ends it and it has drained.
///
/// # Errors
/// When the configuration is not valid or the gateway can't start.
pub(crate) fn run(file: &ConfigFile) -> Result<ExitCode> {
    let valid = file.read(eastwest::Config::validate)?;
    process::run(Threads::One, |cancel| serve(valid, cancel))
}

async fn serve(config: eastwest::Validated, cancel: CancellationToken) -> Result<ExitCode> {
    let listen = config.listen.clone();
    let gateway = eastwest::start(config, cancel).context("the gateway cannot start")?;
    let role: Arc<dyn Inspect> = Arc::new(gateway.status());
    // The pages outlive the signal: a load balancer must see "not ready" during the drain.
    let ended = CancellationToken::new();
    let mut servers = Servers::default();
    for (setting, address, pages) in [
        (
            "listen.readiness",
            listen.readiness,
            Pages {
                readiness: true,
                ..Pages::default()
            },
        ),
        (
            "listen.metrics",
            listen.metrics,
            Pages {
                metrics: true,
                readiness: true,
                ..Pages::default()
            },
        ),
        (
            "listen.debug",
            listen.debug,
            Pages {
                debug: true,
                ..Pages::default()
            },
        ),
    ] {
        let role = Arc::clone(&role);
        servers
            .serve(setting, address, pages, role, ended.clone())
            .await?;
    }
    gateway.join().await;
    ended.cancel();
    servers.join().await;
    Ok(ExitCode::SUCCESS)
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
