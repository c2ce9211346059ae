//! `sidecar`: the built-in sidecar in the place of an Envoy, by the same bootstrap file.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use scenarios::sidecar::{Bootstrap, Sidecar};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// What to start with.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An Envoy's bootstrap, as JSON.
    #[arg(long)]
    config_path: PathBuf,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let lines = EnvFilter::try_from_env("ISTHMUS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(lines)
        .with_writer(std::io::stderr)
        .init();
    let path = &args.config_path;
    let file = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let bootstrap = Bootstrap::parse(&serde_json::from_slice(&file)?)?;
    let cancel = CancellationToken::new();
    let sidecar = Sidecar::start(bootstrap, cancel.clone()).await?;
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = stop.recv() => {}
        _ = interrupt.recv() => {}
    }
    cancel.cancel();
    sidecar.join().await;
    Ok(())
}
