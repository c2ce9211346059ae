//! `transfer`: a large body through the sidecar, one way, compared by its hash.

use std::{convert::Infallible, time::Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use scenarios::{
    content::{Content, digest},
    peers::hex,
    topology::OUTBOUND_PORT,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What to move, and from whom or to whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    host: String,
    #[arg(long)]
    bytes: u64,
    /// To the application instead of from it.
    #[arg(long)]
    up: bool,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let seed = u64::from(std::process::id());
    let start = Instant::now();
    let (bytes, sha256) = if args.up {
        upload(&args, seed).await?
    } else {
        download(&args, seed).await?
    };
    let seconds = start.elapsed().as_secs_f64();
    let intact = bytes == args.bytes && sha256 == digest(seed, args.bytes);
    let told = json!({ "bytes": bytes, "intact": intact, "seconds": seconds });
    println!("{told}");
    Ok(())
}

async fn download(args: &Args, seed: u64) -> Result<(u64, String)> {
    let path = format!("/content/{seed}/{}", args.bytes);
    let request = request(args, "GET", &path).body(Empty::<Bytes>::new())?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    let mut body = answer.into_body().into_data_stream();
    let (mut bytes, mut hash) = (0, Sha256::new());
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        bytes += chunk.len() as u64;
        hash.update(&chunk);
    }
    Ok((bytes, hex(&hash.finalize())))
}

async fn upload(args: &Args, seed: u64) -> Result<(u64, String)> {
    let blocks = stream::unfold(
        (Content::new(seed), args.bytes),
        |(mut content, left)| async move {
            if left == 0 {
                return None;
            }
            let block = content.block(left);
            let left = left - block.len() as u64;
            Some((
                Ok::<_, Infallible>(Frame::data(Bytes::from(block))),
                (content, left),
            ))
        },
    );
    let body: UnsyncBoxBody<Bytes, Infallible> = UnsyncBoxBody::new(StreamBody::new(blocks));
    let request = request(args, "POST", "/upload")
        .header(http::header::CONTENT_LENGTH, args.bytes)
        .body(body)?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(
        status.is_success(),
        "{status}: {}",
        String::from_utf8_lossy(&body)
    );
    let told: Value = serde_json::from_slice(&body)?;
    let sha256 = told["sha256"].as_str().unwrap_or_default().to_owned();
    Ok((told["bytes"].as_u64().unwrap_or_default(), sha256))
}

fn request(args: &Args, method: &str, path: &str) -> http::request::Builder {
    http::Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1:{OUTBOUND_PORT}{path}"))
        .header(http::header::HOST, &args.host)
}
