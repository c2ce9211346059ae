//! Follows discovery: connects, asks, takes in, publishes, and comes back when it is lost.
//! What is known stays meanwhile.

use std::{io, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use eastwest::sync::backoff::Backoff;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
    aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    net::TcpStream,
    sync::{
        mpsc::{UnboundedSender, unbounded_channel},
        watch,
    },
    time::sleep,
};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tracing::{info, warn};
use trust::tls::{Peers, client_config};

use super::{
    bootstrap::Bootstrap,
    known::Known,
    picture::Picture,
    session::{Kind, Session},
    status::Status,
    upstream::Ground,
};

/// Follows until dropped.
pub(super) async fn follow(
    bootstrap: &Bootstrap,
    ground: Ground,
    pictures: &watch::Sender<Arc<Picture>>,
    status: &Status,
) {
    let mut subscriber = Subscriber {
        bootstrap,
        ground,
        pictures,
        status,
        known: Known::default(),
        backoff: Backoff::new(rand::random()),
    };
    loop {
        let lost = subscriber.listen().await;
        status.connected(false);
        if let Err(error) = lost {
            let error = format!("{error:#}");
            warn!(discovery = %bootstrap.discovery, error, "lost; what is known stays");
        }
        sleep(subscriber.backoff.wait()).await;
    }
}

/// What outlives the streams.
struct Subscriber<'a> {
    bootstrap: &'a Bootstrap,
    ground: Ground,
    pictures: &'a watch::Sender<Arc<Picture>>,
    status: &'a Status,
    known: Known,
    backoff: Backoff,
}

/// One stream.
struct Asked {
    session: Session,
    /// Bounded by the responses that are answered one by one.
    requests: UnboundedSender<DeltaDiscoveryRequest>,
}

impl Subscriber<'_> {
    /// Lives through one stream, to its end.
    async fn listen(&mut self) -> Result<()> {
        let channel = self.connect().await?;
        let (requests, sent) = unbounded_channel();
        let mut asked = Asked {
            session: Session::new(self.bootstrap.presented()),
            requests,
        };
        for kind in Kind::ALL {
            asked.want(kind, &self.known)?;
        }
        let mut client =
            AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
        let sent = UnboundedReceiverStream::new(sent);
        let responses = client.delta_aggregated_resources(sent).await?;
        let mut responses = responses.into_inner();
        info!(discovery = %self.bootstrap.discovery, "connected");
        self.status.connected(true);
        while let Some(response) = responses.message().await? {
            self.take(response, &mut asked)?;
        }
        bail!("the stream has ended")
    }

    /// Takes one response in: applies, publishes, answers, asks for what follows from it.
    fn take(&mut self, response: DeltaDiscoveryResponse, asked: &mut Asked) -> Result<()> {
        let (answer, update) = match asked.session.receive(response) {
            Ok(received) => received,
            Err(unasked) => {
                warn!(%unasked, "ignored");
                return Ok(());
            }
        };
        self.backoff.reset();
        let kind = update.kind;
        let refused = self.known.apply(update);
        for refused in &refused {
            warn!(
                kind = kind.as_str(),
                refused, "refused; what was before stays"
            );
        }
        self.status.taken(kind, &refused, &self.known);
        let before = Arc::clone(&self.pictures.borrow());
        let picture = before.next(&self.known, &self.ground);
        self.pictures.send_replace(Arc::new(picture));
        let answer = answer.give(&refused);
        asked
            .requests
            .send(answer)
            .context("no answers are taken")?;
        match kind {
            Kind::Cluster => asked.want(Kind::Assignment, &self.known),
            Kind::Listener => asked.want(Kind::Route, &self.known),
            Kind::Assignment | Kind::Route => Ok(()),
        }
    }

    async fn connect(&self) -> Result<Channel> {
        let address = self.bootstrap.discovery;
        let peers = Peers::Exactly(vec![self.bootstrap.identity.clone()]);
        let tls = TlsConnector::from(client_config(&self.ground.live, peers, &[b"h2"])?);
        let dial = tower::service_fn(move |_: Uri| {
            let tls = tls.clone();
            async move {
                let tcp = TcpStream::connect(address).await?;
                tcp.set_nodelay(true)?;
                let name = ServerName::IpAddress(address.ip().into());
                let tls = tls.connect(name, tcp).await?;
                Ok::<_, io::Error>(TokioIo::new(tls))
            }
        });
        let endpoint = Endpoint::from_static("http://discovery")
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_LIMIT)
            .keep_alive_while_idle(true);
        let connect = endpoint.connect_with_connector(dial);
        let connected = tokio::time::timeout(CONNECT_LIMIT, connect).await;
        connected
            .with_context(|| format!("no connection in {CONNECT_LIMIT:?}"))?
            .context("no connection")
    }
}

impl Asked {
    fn want(&mut self, kind: Kind, known: &Known) -> Result<()> {
        let versions = || known.versions(kind);
        match self.session.want(kind, known.wanted(kind), versions) {
            Some(request) => self.requests.send(request).context("no requests are taken"),
            None => Ok(()),
        }
    }
}

/// The size of a response.
const MESSAGE_LIMIT: usize = 64 << 20;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_LIMIT: Duration = Duration::from_secs(10);
