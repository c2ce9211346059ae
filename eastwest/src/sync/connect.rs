//! A connection to the control plane: to our discovery by mutual TLS with the gateway's
//! live credential, or in plain text on loopback; to an istiod by TLS and a token, or in
//! plain text.

use std::{fs, io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tokio_util::{either::Either, sync::CancellationToken};
use tonic::{
    metadata::{Ascii, MetadataKey, MetadataMap},
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;
use trust::{
    bundle::Bundle,
    store::WorkloadCredential,
    tls::{LiveCredential, Peers, client_config, named_server},
};

use crate::config::{Config, Istiod, Source, Xds};

/// The control plane that a source names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ControlPlane<'a> {
    /// Our discovery.
    Discovery(&'a Xds),
    /// An istiod.
    Istiod(&'a Istiod),
}

/// A connection, and what every call on it says.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) channel: Channel,
    pub(crate) metadata: MetadataMap,
}

/// Makes connections to one control plane.
#[derive(Debug)]
pub(crate) struct Connector<'a> {
    config: &'a Config,
    to: ControlPlane<'a>,
    /// The gateway's own credential towards our discovery.
    tls: Option<Arc<ClientConfig>>,
    /// Keeps the credential up with its directory.
    followers: JoinSet<()>,
    cancel: CancellationToken,
}

/// What a connection is made with.
#[derive(Debug, Clone)]
struct Target {
    address: String,
    name: String,
    tls: Option<Arc<ClientConfig>>,
}

type Stream = TokioIo<Either<TcpStream, TlsStream<TcpStream>>>;

impl<'a> ControlPlane<'a> {
    pub(crate) fn of(source: &'a Source) -> Option<Self> {
        let discovery = source.xds.as_ref().map(Self::Discovery);
        discovery.or_else(|| source.istiod.as_ref().map(Self::Istiod))
    }

    pub(crate) fn address(self) -> &'a str {
        match self {
            Self::Discovery(xds) => &xds.address,
            Self::Istiod(istiod) => &istiod.address,
        }
    }

    /// How long a stream is not believed that says less than the one before it. Our
    /// discovery never says less than it knows.
    pub(crate) fn hold(self) -> Option<Duration> {
        match self {
            Self::Discovery(_) => None,
            Self::Istiod(istiod) => Some(istiod.hold.0).filter(|hold| !hold.is_zero()),
        }
    }
}

impl<'a> Connector<'a> {
    pub(crate) fn new(
        config: &'a Config,
        to: ControlPlane<'a>,
        cancel: &CancellationToken,
    ) -> Self {
        Self {
            config,
            to,
            tls: None,
            followers: JoinSet::new(),
            cancel: cancel.clone(),
        }
    }

    /// Connects, and finishes the TLS handshake. Files may appear after the gateway's start
    /// and change: those of an istiod are read for every connection.
    pub(crate) async fn connect(&mut self) -> Result<Connection, String> {
        let (target, metadata) = match self.to {
            ControlPlane::Discovery(xds) => (self.discovery(xds)?, MetadataMap::new()),
            ControlPlane::Istiod(istiod) => (
                istiod_target(istiod)?,
                istiod_metadata(istiod, &self.config.cluster)?,
            ),
        };
        let endpoint = Endpoint::from_static("http://control-plane")
            .connect_timeout(LIMIT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_LIMIT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        let dial = service_fn(move |_: Uri| open(target.clone()));
        let channel = endpoint.connect_with_connector(dial).await;
        let channel = channel.map_err(|error| reasons(&error))?;
        Ok(Connection { channel, metadata })
    }

    fn discovery(&mut self, xds: &Xds) -> Result<Target, String> {
        if self.tls.is_none() {
            self.tls = self.credential(xds)?;
        }
        let host = xds.address.rsplit_once(':').map_or("", |(host, _)| host);
        Ok(Target {
            address: xds.address.clone(),
            name: host.trim_matches(['[', ']']).to_owned(),
            tls: self.tls.clone(),
        })
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

fn istiod_target(istiod: &Istiod) -> Result<Target, String> {
    let tls = || {
        let root = &istiod.root;
        let unread =
            |error: io::Error| format!("{}: {error}; see source.istiod.root", root.display());
        let pem = fs::read(root).map_err(unread)?;
        let wrong = |error: trust::Error| format!("{error}; see source.istiod.root");
        let bundle = Bundle::from_pem(&pem, &root.display().to_string()).map_err(wrong)?;
        named_server(&bundle, &[b"h2"]).map_err(wrong)
    };
    let tls = (!istiod.plain_text).then(tls).transpose()?;
    Ok(Target {
        address: istiod.address.clone(),
        name: istiod.server_name().to_owned(),
        tls,
    })
}

/// Who we are to an istiod: it asks the API server of the cluster that is named for the
/// token's owner (istio-eastwest.md §1.2).
fn istiod_metadata(istiod: &Istiod, cluster: &str) -> Result<MetadataMap, String> {
    let mut metadata = MetadataMap::new();
    let mut say = |key: &str, value: &str| {
        let key: MetadataKey<Ascii> = key
            .parse()
            .map_err(|_| format!("`{key}` is no name of a header; see source.istiod.headers"))?;
        let value = value
            .parse()
            .map_err(|_| format!("the value of {key} is no text for a header"))?;
        metadata.insert(key, value);
        Ok::<(), String>(())
    };
    for (key, value) in &istiod.headers {
        say(&key.to_ascii_lowercase(), value)?;
    }
    if !istiod.plain_text {
        let token = &istiod.token;
        let unread =
            |error: io::Error| format!("{}: {error}; see source.istiod.token", token.display());
        let token = fs::read_to_string(token).map_err(unread)?;
        say("authorization", &format!("Bearer {}", token.trim()))?;
        say("clusterid", cluster)?;
    }
    Ok(metadata)
}

/// Opens one connection, within the limit.
async fn open(target: Target) -> io::Result<Stream> {
    let opened = timeout(LIMIT, async {
        let tcp = TcpStream::connect(&target.address).await?;
        tcp.set_nodelay(true)?;
        let Some(config) = target.tls else {
            return Ok(Either::Left(tcp));
        };
        let name = ServerName::try_from(target.name).map_err(io::Error::other)?;
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
