//! `load`: requests through the sidecar, each with a nonce of its own, each told.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use scenarios::{
    load::{Answer, Outcome, micros},
    topology::OUTBOUND_PORT,
};
use serde::Deserialize;
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

#[derive(Deserialize)]
struct Hello {
    version: String,
    pod: String,
    nonce: Option<String>,
}

struct Caller {
    client: Client<HttpConnector, Empty<Bytes>>,
    host: String,
    limit: Duration,
    run: u32,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let caller = Arc::new(Caller {
        // A connection that the sidecar closed under us is a loss that shows.
        client: Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .build_http(),
        host: args.host,
        limit: Duration::from_secs(args.limit_seconds),
        run: std::process::id(),
    });
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
        waiting.spawn(async move { caller.call(number).await });
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
                waiting.spawn(async move { caller.call(number).await });
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

impl Caller {
    async fn call(&self, number: usize) -> Answer {
        let nonce = format!("{}-{number}", self.run);
        let sent = SystemTime::now();
        let outcome = match tokio::time::timeout(self.limit, self.ask(&nonce)).await {
            Ok(Ok(hello)) if hello.nonce.as_deref() != Some(&nonce) => {
                Outcome::Lost("an answer to another request".to_owned())
            }
            Ok(Ok(Hello { version, pod, .. })) => Outcome::By { version, pod },
            Ok(Err(error)) => Outcome::Lost(format!("{error:#}")),
            Err(_) => Outcome::Lost(format!("no answer in {:?}", self.limit)),
        };
        Answer {
            sent: micros(sent),
            done: micros(SystemTime::now()),
            outcome,
        }
    }

    async fn ask(&self, nonce: &str) -> Result<Hello> {
        let request = http::Request::get(format!("http://127.0.0.1:{OUTBOUND_PORT}/hello"))
            .header(http::header::HOST, &self.host)
            .header("x-nonce", nonce)
            .body(Empty::new())?;
        let answer = self.client.request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{status}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

fn tell(answer: Option<Result<Answer, tokio::task::JoinError>>) -> Result<()> {
    if let Some(answer) = answer {
        let line = serde_json::to_string(&answer?)?;
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}
