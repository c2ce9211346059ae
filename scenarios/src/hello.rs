//! The application of every world: HTTP, telling what reached it.

use std::{convert::Infallible, io, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::{content::Content, peers::hex};

/// What the application says of itself, and of the request that it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The version that it calls itself.
    pub version: String,
    /// Its pod.
    pub pod: String,
    /// The request's header `x-nonce`.
    pub nonce: Option<String>,
    /// What the sidecar says of the caller (`x-forwarded-client-cert`).
    pub client_certificate: Option<String>,
}

/// Serves on `listener` until dropped: `/hello`, `/upload`, `/content/SEED/BYTES`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, version: String, pod: String) -> io::Result<()> {
    let app = Router::new()
        .route("/hello", get(hello))
        .route("/upload", post(upload))
        .route("/content/{seed}/{bytes}", get(content))
        .with_state(Arc::new((version, pod)));
    axum::serve(listener, app).await
}

async fn hello(State(own): State<Arc<(String, String)>>, headers: HeaderMap) -> impl IntoResponse {
    let header = |name: &str| {
        let value = headers.get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    Json(Hello {
        version: own.0.clone(),
        pod: own.1.clone(),
        nonce: header("x-nonce"),
        client_certificate: header("x-forwarded-client-cert"),
    })
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
