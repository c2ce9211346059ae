//! `helloworld`: an HTTP application that tells what reached it.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::Result;
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{StreamExt, stream};
use scenarios::{content::Content, peers::hex};
use serde_json::json;
use sha2::{Digest, Sha256};

/// How the application calls itself, and where it listens.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    version: String,
    #[arg(long)]
    pod: String,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    let app = Router::new()
        .route("/hello", get(hello))
        .route("/upload", post(upload))
        .route("/content/{seed}/{bytes}", get(content))
        .with_state(Arc::new(args));
    axum::serve(listener, app).await?;
    Ok(())
}

async fn hello(State(args): State<Arc<Args>>, headers: HeaderMap) -> impl IntoResponse {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Json(json!({
        "version": args.version,
        "pod": args.pod,
        "nonce": header("x-nonce"),
        "clientCertificate": header("x-forwarded-client-cert"),
    }))
}

async fn upload(body: Body) -> Response {
    let mut body = body.into_data_stream();
    let (mut bytes, mut hash) = (0_u64, Sha256::new());
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => {
                bytes += chunk.len() as u64;
                hash.update(&chunk);
            }
            Err(error) => {
                return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
            }
        }
    }
    Json(json!({ "bytes": bytes, "sha256": hex(&hash.finalize()) })).into_response()
}

async fn content(Path((seed, bytes)): Path<(u64, u64)>) -> Body {
    let blocks = stream::unfold(
        (Content::new(seed), bytes),
        |(mut content, left)| async move {
            if left == 0 {
                return None;
            }
            let block = content.block(left);
            let left = left - block.len() as u64;
            Some((Ok::<_, Infallible>(Bytes::from(block)), (content, left)))
        },
    );
    Body::from_stream(blocks)
}
