//! Placeholder.

#[cfg(feature = "trust")]
mod trust;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    #[cfg(feature = "trust")]
    Trust(trust::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let signal = tokio::spawn(async move {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = term.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stop.cancel();
        std::io::Result::Ok(())
    });
    let outcome = match Line::parse().role {
        #[cfg(feature = "trust")]
        Role::Trust(args) => trust::run(args, cancel).await,
    };
    signal.abort();
    outcome
}
