//! `load`: requests through the sidecar, each with a nonce of its own, each told.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, bail};
use scenarios::{
    load::{Answer, Caller},
    topology::OUTBOUND_PORT,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

/// Whom to ask, and how often: `count` requests, `at-once` of
/// them at a time, or one every `every-ms` until told to stop.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The name that the sidecar routes by.
    #[arg(long)]
    host: String,
    /// Where to connect to.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, OUTBOUND_PORT)))]
    door: SocketAddr,
    #[arg(
        long,
        conflicts_with = "every_ms",
        required_unless_present = "every_ms"
    )]
    count: Option<usize>,
    #[arg(long, default_value_t = 1)]
    at_once: usize,
    #[arg(long)]
    every_ms: Option<u64>,
    /// After this long without an answer a request is lost.
    #[arg(long, default_value_t = 10)]
    limit_seconds: u64,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let limit = Duration::from_secs(args.limit_seconds);
    let caller = Arc::new(Caller::at(args.door, &args.host, limit));
    match (args.count, args.every_ms) {
        (Some(count), _) => many(&caller, count, args.at_once).await,
        (None, Some(every)) => steady(&caller, Duration::from_millis(every)).await,
        (None, None) => bail!("neither a count nor a pace"),
    }
}

async fn many(caller: &Arc<Caller>, count: usize, at_once: usize) -> Result<()> {
    let mut waiting = JoinSet::new();
    for number in 0..count {
        if waiting.len() >= at_once {
            tell(waiting.join_next().await)?;
        }
        let caller = Arc::clone(caller);
        waiting.spawn(async move { caller.call(number).await.0 });
    }
    while let Some(answer) = waiting.join_next().await {
        tell(Some(answer))?;
    }
    Ok(())
}

async fn steady(caller: &Arc<Caller>, every: Duration) -> Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let mut pace = tokio::time::interval(every);
    let mut waiting = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            _ = stop.recv() => break,
            _ = pace.tick() => {
                let caller = Arc::clone(caller);
                waiting.spawn(async move { caller.call(number).await.0 });
                number += 1;
            }
            Some(answer) = waiting.join_next() => tell(Some(answer))?,
        }
    }
    while let Some(answer) = waiting.join_next().await {
        tell(Some(answer))?;
    }
    Ok(())
}

fn tell(answer: Option<Result<Answer, tokio::task::JoinError>>) -> Result<()> {
    if let Some(answer) = answer {
        let line = serde_json::to_string(&answer?)?;
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}
