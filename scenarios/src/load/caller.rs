//! A client of the application: requests through a sidecar, each with a nonce of its own.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::{Answer, Outcome, micros};
use crate::{hello::Hello, topology::OUTBOUND_PORT};

/// Asks one host through one sidecar.
#[derive(Debug)]
pub struct Caller {
    client: Client<HttpConnector, Empty<Bytes>>,
    sidecar: SocketAddr,
    host: String,
    limit: Duration,
    run: u32,
}

impl Caller {
    /// A caller of `host`, through the sidecar of the pod whose loopback address this is;
    /// without an answer for `limit` a request is lost.
    #[must_use]
    pub fn new(loopback: IpAddr, host: &str, limit: Duration) -> Self {
        Self {
            // A connection that the sidecar closed under us is a loss that shows.
            client: Client::builder(TokioExecutor::new())
                .retry_canceled_requests(false)
                .build_http(),
            sidecar: SocketAddr::new(loopback, OUTBOUND_PORT),
            host: host.to_owned(),
            limit,
            run: std::process::id(),
        }
    }

    /// A caller of `host` at this address: the sidecar of a pod with a loopback device of
    /// its own, or where the pod's connections are captured on their way to.
    #[must_use]
    pub fn at(door: SocketAddr, host: &str, limit: Duration) -> Self {
        Self {
            sidecar: door,
            ..Self::new(door.ip(), host, limit)
        }
    }

    /// Sends the request of this number, and says what became of it.
    pub async fn call(&self, number: usize) -> (Answer, Option<Hello>) {
        let nonce = format!("{}-{number}", self.run);
        let sent = SystemTime::now();
        let mut hello = None;
        let outcome = match tokio::time::timeout(self.limit, self.ask(&nonce)).await {
            Ok(Ok(said)) if said.nonce.as_deref() != Some(&nonce) => {
                Outcome::Lost("an answer to another request".to_owned())
            }
            Ok(Ok(said)) => {
                let (version, pod) = (said.version.clone(), said.pod.clone());
                hello = Some(said);
                Outcome::By { version, pod }
            }
            Ok(Err(error)) => Outcome::Lost(format!("{error:#}")),
            Err(_) => Outcome::Lost(format!("no answer in {:?}", self.limit)),
        };
        let answer = Answer {
            sent: micros(sent),
            done: micros(SystemTime::now()),
            outcome,
        };
        (answer, hello)
    }

    async fn ask(&self, nonce: &str) -> Result<Hello> {
        let request = http::Request::get(format!("http://{}/hello", self.sidecar))
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
