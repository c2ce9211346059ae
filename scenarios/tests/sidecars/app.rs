//! The application behind the server's sidecar: one router for requests, and a socket that
//! breaks whatever it is asked.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::Result;
use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::HeaderMap,
    routing::{get, post},
};
use futures::stream;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinSet};

use crate::world::{APP_PORT, BROKEN_PORT, BYTES_PORT};

/// Ends when it is dropped.
pub(crate) struct App {
    pub(crate) counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Bytes of `/endless` that somebody took.
    pub(crate) taken: AtomicU64,
    /// Connections that were broken.
    pub(crate) broken: AtomicU64,
}

impl App {
    pub(crate) async fn start(address: IpAddr) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        for port in [APP_PORT, BYTES_PORT] {
            let listener = TcpListener::bind(SocketAddr::new(address, port)).await?;
            let app = Router::new()
                .route("/hello", get(hello))
                .route("/endless", get(endless))
                .route("/echo", post(async |body: Body| body))
                .with_state(Arc::clone(&counts));
            tasks.spawn(async move {
                let _never_fails = axum::serve(listener, app).await;
            });
        }
        let listener = TcpListener::bind(SocketAddr::new(address, BROKEN_PORT)).await?;
        tasks.spawn(breaks_after_the_request(listener, Arc::clone(&counts)));
        Ok(Self {
            counts,
            _tasks: tasks,
        })
    }
}

async fn hello(headers: HeaderMap) -> Json<Value> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Json(json!({
        "host": header("host"),
        "clientCertificate": header("x-forwarded-client-cert"),
        "connection": header("connection"),
    }))
}

async fn endless(State(counts): State<Arc<Counts>>) -> Body {
    let blocks = stream::repeat_with(move || {
        counts.taken.fetch_add(BLOCK.len() as u64, Relaxed);
        Ok::<_, Infallible>(Bytes::from_static(BLOCK))
    });
    Body::from_stream(blocks)
}

async fn breaks_after_the_request(listener: TcpListener, counts: Arc<Counts>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await;
        assert!(read.is_ok_and(|bytes| bytes > 0), "no request");
        counts.broken.fetch_add(1, Relaxed);
    }
}

static BLOCK: &[u8] = &[7; 64 << 10];
