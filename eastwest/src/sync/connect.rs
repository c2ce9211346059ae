//! A connection to the control plane: mutual TLS with the gateway's live credential, or
//! plain text on loopback.

use std::{io, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tokio_util::{either::Either, sync::CancellationToken};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;
use trust::{
    store::WorkloadCredential,
    tls::{LiveCredential, Peers, client_config},
};

use crate::config::{Config, Xds};
use std::sync::Arc;

/// Makes connections to one control plane.
#[derive(Debug)]
pub(crate) struct Connector {
    config: Config,
    address: String,
    tls: Option<Arc<ClientConfig>>,
    /// Keeps the credential up with its directory.
    followers: JoinSet<()>,
    cancel: CancellationToken,
}

type Stream = TokioIo<Either<TcpStream, TlsStream<TcpStream>>>;

impl Connector {
    pub(crate) fn new(config: &Config, xds: &Xds, cancel: &CancellationToken) -> Self {
        Self {
            config: config.clone(),
            address: xds.address.clone(),
            tls: None,
            followers: JoinSet::new(),
            cancel: cancel.clone(),
        }
    }

    /// Connects, and finishes the TLS handshake. The certificate may appear after the
    /// gateway's start: it is read when it is first needed.
    pub(crate) async fn connect(&mut self, xds: &Xds) -> Result<Channel, String> {
        if self.tls.is_none() {
            self.tls = self.credential(xds)?;
        }
        let endpoint = Endpoint::from_static("http://control-plane")
            .connect_timeout(LIMIT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_LIMIT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        let (address, tls) = (self.address.clone(), self.tls.clone());
        let dial = service_fn(move |_: Uri| open(address.clone(), tls.clone()));
        let channel = endpoint.connect_with_connector(dial).await;
        channel.map_err(|error| reasons(&error))
    }

    fn credential(&mut self, xds: &Xds) -> Result<Option<Arc<ClientConfig>>, String> {
        let (Some(tls), Some(identity)) = (&xds.tls, &xds.identity) else {
            return Ok(None);
        };
        let wrong = |error: trust::Error| format!("{error}; see source.xds.tls");
        let credential = WorkloadCredential::read(&tls.directory).map_err(wrong)?;
        let own = credential.identity().namespace();
        if own != Some(self.config.node.namespace.as_str()) {
            return Err(format!(
                "the certificate is for {}, not for a workload in node.namespace {}",
                credential.identity(),
                self.config.node.namespace
            ));
        }
        let live = LiveCredential::new(credential);
        let peers = Peers::Exactly(vec![identity.clone()]);
        let config = client_config(&live, peers, &[b"h2"]).map_err(wrong)?;
        let (directory, cancel) = (tls.directory.clone(), self.cancel.clone());
        self.followers
            .spawn(async move { live.follow(directory, cancel).await });
        Ok(Some(config))
    }
}

/// Opens one connection, within the limit.
async fn open(address: String, tls: Option<Arc<ClientConfig>>) -> io::Result<Stream> {
    let opened = timeout(LIMIT, async {
        let tcp = TcpStream::connect(&address).await?;
        tcp.set_nodelay(true)?;
        let Some(config) = tls else {
            return Ok(Either::Left(tcp));
        };
        let host = address.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let tls = TlsConnector::from(config).connect(name, tcp).await?;
        Ok(Either::Right(tls))
    });
    let opened: io::Result<_> = opened.await.map_err(|_| io::ErrorKind::TimedOut)?;
    opened.map(TokioIo::new)
}

/// An error with everything below it: the last one is what an operator needs.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut all = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        all = format!("{all}: {error}");
        below = error.source();
    }
    all
}

const LIMIT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(10);
/// Room for a message of thousands of services without waiting for the window.
const WINDOW: u32 = 4 << 20;
