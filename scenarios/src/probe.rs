//! Looking into a world: waiting for what must come, asking pages in pods.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use http::Method;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{netns::Netns, process::Ended};

/// Asks again until the answer is good; fails with its last reason.
///
/// # Errors
/// When `limit` has passed, or a program has ended that was asked for.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = match tokio::time::timeout(limit, ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.is::<Ended>() => return Err(error),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("no answer"),
        };
        if start.elapsed() >= limit {
            return Err(last.context(format!("not within {limit:?}: {what}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// An answer of an HTTP server.
#[derive(Debug)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl Page {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("not JSON: {}", self.text))
    }
}

/// Gets a page from inside a namespace, from the server at `address` or, by the
/// `Host` header, through it.
///
/// # Errors
/// When there is no answer.
pub async fn get(netns: &Netns, address: SocketAddr, host: &str, path: &str) -> Result<Page> {
    let stream = netns.connect(address, CONNECT_LIMIT)?;
    stream.set_nonblocking(true)?;
    ask(TcpStream::from_std(stream)?, Method::GET, host, path)
        .await
        .with_context(|| format!("http://{address}{path}"))
}

/// Gets a page from where we stand.
///
/// # Errors
/// When there is no answer.
pub async fn get_here(address: SocketAddr, path: &str) -> Result<Page> {
    ask_here(address, Method::GET, path).await
}

/// Posts nothing to a page, from where we stand.
///
/// # Errors
/// When there is no answer.
pub async fn post_here(address: SocketAddr, path: &str) -> Result<Page> {
    ask_here(address, Method::POST, path).await
}

async fn ask_here(address: SocketAddr, method: Method, path: &str) -> Result<Page> {
    let page = async {
        let stream = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await??;
        ask(stream, method, &address.to_string(), path).await
    };
    page.await
        .with_context(|| format!("http://{address}{path}"))
}

async fn ask(stream: TcpStream, method: Method, host: &str, path: &str) -> Result<Page> {
    let stream = TokioIo::new(stream);
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, host)
            .body(Empty::<Bytes>::new())?;
        let answer = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await?.to_bytes();
            drop(sender);
            anyhow::Ok(Page {
                status,
                text: String::from_utf8_lossy(&body).into_owned(),
            })
        };
        let (page, _) = tokio::join!(answer, connection);
        page
    };
    match tokio::time::timeout(ANSWER_LIMIT, exchange).await {
        Ok(page) => page,
        Err(_) => bail!("no answer in {ANSWER_LIMIT:?}"),
    }
}

const POLL: Duration = Duration::from_millis(50);
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
