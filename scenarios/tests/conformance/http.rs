//! A client that hides nothing: one connection, one request, the lines of the answer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_rustls::TlsConnector;

/// Reaches one server.
#[derive(Clone)]
pub(crate) struct Http {
    address: SocketAddr,
    tls: TlsConnector,
}

/// What to ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) accept: Option<&'a str>,
    pub(crate) media: Option<&'a str>,
    pub(crate) body: Option<Bytes>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
}

/// An answer that is read line by line.
pub(crate) struct Lines {
    pub(crate) status: u16,
    body: Incoming,
    rest: Vec<u8>,
    connection: JoinHandle<()>,
}

impl Http {
    pub(crate) fn new(address: SocketAddr, authority: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Self {
            address,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Asks, and reads the whole answer.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer> {
        let (answer, connection) = self.send(ask).await?;
        let header = |name: &str| {
            let value = answer.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (status, media) = (
            answer.status().as_u16(),
            header("content-type").unwrap_or_default(),
        );
        let retry_after = header("retry-after");
        let body = timeout(LONG, answer.into_body().collect())
            .await
            .context("no end")??;
        connection.abort();
        Ok(Answer {
            status,
            media,
            retry_after,
            text: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        })
    }

    /// Asks, and leaves the answer to be read.
    pub(crate) async fn follow(&self, ask: &Ask<'_>) -> Result<Lines> {
        let (answer, connection) = self.send(ask).await?;
        Ok(Lines {
            status: answer.status().as_u16(),
            body: answer.into_body(),
            rest: Vec::new(),
            connection,
        })
    }

    async fn send(&self, ask: &Ask<'_>) -> Result<(Response<Incoming>, JoinHandle<()>)> {
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = self.tls.connect(name, socket).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
        // The connection ends with the answer, which its owner aborts.
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header("host", self.address.to_string())
            .header("user-agent", "conformance");
        if let Some(token) = ask.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(accept) = ask.accept {
            request = request.header("accept", accept);
        }
        if ask.body.is_some() {
            request = request.header("content-type", ask.media.unwrap_or("application/json"));
        }
        let request = request.body(Full::new(ask.body.clone().unwrap_or_default()))?;
        let answer = timeout(LONG, sender.send_request(request)).await;
        let answer = answer.with_context(|| format!("no answer to {}", ask.path))??;
        Ok((answer, connection))
    }
}

impl Lines {
    /// The next line as JSON; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=at).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            match timeout(LONG, self.body.frame()).await {
                Err(_) => bail!("nothing more comes"),
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => {
                    if let Ok(data) = frame?.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// Reads until `last` says that it was the last, which is part of it; or to the end.
    pub(crate) async fn until(&mut self, last: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        while let Some(line) = self.next().await? {
            let is_last = last(&line);
            found.push(line);
            if is_last {
                break;
            }
        }
        Ok(found)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Longer than any answer takes, on any machine.
const LONG: Duration = Duration::from_secs(60);
