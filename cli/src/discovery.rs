//! `isthmus discovery`: the discovery of a cluster as a process.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use discovery::discovery::Status;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Inspect, Pages, Servers},
    config_file::ConfigFile,
    process::{self, Threads},
};

/// Runs discovery until a signal ends it.
///
/// # Errors
/// When the configuration is not valid or discovery can't start.
pub(crate) fn run(file: &ConfigFile) -> Result<ExitCode> {
    let valid = file.read(discovery::Config::validate)?;
    process::run(Threads::PerCore, |cancel| serve(valid, cancel))
}

async fn serve(
    config: discovery::config::Validated,
    cancel: CancellationToken,
) -> Result<ExitCode> {
    let debug = config.listen.debug;
    let running = discovery::discovery::start(config, cancel)
        .await
        .context("discovery cannot start")?;
    let role: Arc<dyn Inspect> = Arc::new(running.status());
    let ended = CancellationToken::new();
    let pages = Pages {
        readiness: true,
        metrics: true,
        debug: true,
    };
    let mut servers = Servers::default();
    servers
        .serve("listen.debug", debug, pages, role, ended.clone())
        .await?;
    running.join().await;
    ended.cancel();
    servers.join().await;
    Ok(ExitCode::SUCCESS)
}

impl Inspect for Status {
    fn ready(&self) -> Result<String, String> {
        Status::ready(self)
    }

    fn metrics(&self) -> String {
        Status::metrics(self)
    }

    fn debug(&self, page: &str) -> Option<Value> {
        Status::debug(self, page)
    }
}
