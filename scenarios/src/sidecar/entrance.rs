//! A listener at work: what happens to one connection that came in.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Version, header::CONNECTION};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{rt::TokioIo, server::conn::auto::Builder};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;
use tracing::debug;
use trust::tls::{LiveCredential, server_config};

use super::{
    client_certificate, exchange,
    owner::Owner,
    picture::Picture,
    resource::{
        Listener,
        listener::{Content, Http},
    },
};

/// What a listener does with connections.
#[derive(Clone)]
pub(super) struct Entrance {
    content: Content,
    tls: Option<TlsAcceptor>,
    live: LiveCredential,
    pictures: watch::Receiver<Arc<Picture>>,
    owner: Owner,
}

type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

impl Entrance {
    /// As the listener says.
    pub(super) fn new(
        listener: &Listener,
        live: &LiveCredential,
        pictures: &watch::Receiver<Arc<Picture>>,
        owner: &Owner,
    ) -> Result<Self, trust::Error> {
        let acceptor = listener.tls.as_ref().map(|common| {
            let alpn: Vec<&[u8]> = common.alpn.iter().map(String::as_bytes).collect();
            server_config(live, common.peers.clone(), &alpn).map(TlsAcceptor::from)
        });
        Ok(Self {
            content: listener.content.clone(),
            tls: acceptor.transpose()?,
            live: live.clone(),
            pictures: pictures.clone(),
            owner: owner.clone(),
        })
    }

    /// Takes a connection through to its end.
    pub(super) async fn admit(self, tcp: TcpStream) {
        let Some((stream, client)) = self.shake_hands(tcp).await else {
            return;
        };
        match &self.content {
            Content::Http(http) => self.serve(stream, http, client).await,
            Content::Bytes(cluster) => self.carry(stream, cluster).await,
        }
    }

    /// The stream without its TLS, and what applications are told of the client.
    async fn shake_hands(&self, tcp: TcpStream) -> Option<(Stream, Option<HeaderValue>)> {
        // Only a socket that has ended refuses this.
        tcp.set_nodelay(true).ok()?;
        let Some(acceptor) = &self.tls else {
            return Some((Either::Left(tcp), None));
        };
        let stream = match timeout(HANDSHAKE_LIMIT, acceptor.accept(tcp)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                debug!(%error, "client refused");
                return None;
            }
            Err(_) => return None,
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let client = client_certificate::header(self.live.current().identity(), chain);
        Some((Either::Right(Box::new(stream)), client))
    }

    async fn serve(&self, stream: Stream, http: &Http, client: Option<HeaderValue>) {
        let client = client.filter(|_| http.tells_client);
        let service = service_fn(|request: Request<Incoming>| {
            let picture = Arc::clone(&self.pictures.borrow());
            let (http, client, owner) = (http.clone(), client.clone(), self.owner.clone());
            async move {
                let closable = request.version() < Version::HTTP_2;
                let mut answer = exchange::answer(request, &picture, &http, client.as_ref()).await;
                if closable && owner.is_draining() {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let server = Builder::new(self.owner.clone());
        if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
            debug!(%error, "connection ended");
        }
    }

    async fn carry(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, cluster: &str) {
        let picture = Arc::clone(&self.pictures.borrow());
        let upstream = match picture.upstream(cluster) {
            Ok(upstream) => upstream,
            Err(refusal) => return debug!(?refusal, cluster, "closed"),
        };
        let opened = match upstream.choose() {
            Ok(door) => door.open(upstream.limit()).await,
            Err(refusal) => Err(refusal),
        };
        match opened {
            // How it ends is for the two ends to see.
            Ok(mut other) => drop(copy_bidirectional(&mut stream, &mut other).await),
            Err(refusal) => debug!(?refusal, cluster, "closed"),
        }
    }
}

/// How long a client may take to say who it is.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);
