//! One address, dialled one way: its idle connections, and how requests go through it.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;
use tracing::debug;
use trust::tls::{LiveCredential, client_config};

use super::{
    owner::Owner,
    refusal::Refusal,
    resource::tls::{Client, Transport},
};

/// An endpoint, and the connections to it. Connections that are idle are kept, as Envoy
/// keeps them, and end with the door.
#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    way: Way,
    idle: Mutex<Vec<Sender>>,
    active: AtomicU32,
    requests: AtomicU64,
    connections: AtomicU64,
    failures: AtomicU64,
    owner: Owner,
}

/// How it is dialled.
#[derive(Clone)]
pub(super) struct Way {
    transport: Transport,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// The body of an answer. When it has ended, its connection is idle again; dropped before,
/// it takes the connection with it.
#[derive(Debug)]
pub(super) struct Carried {
    body: Incoming,
    lease: Option<Lease>,
}

/// A connection that is in use.
#[derive(Debug)]
struct Lease {
    sender: Sender,
    active: Active,
}

/// A request that is under way.
#[derive(Debug)]
struct Active(Arc<Door>);

pub(super) type Stream = Either<TcpStream, TlsStream<TcpStream>>;
type Sender = SendRequest<Incoming>;

impl Door {
    pub(super) fn new(address: SocketAddr, way: Way, owner: Owner) -> Self {
        Self {
            address,
            way,
            idle: Mutex::default(),
            active: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            owner,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    /// Requests under way.
    pub(super) fn active(&self) -> u32 {
        self.active.load(Relaxed)
    }

    /// What was counted, by Envoy's names.
    pub(super) fn counts(&self) -> [(&'static str, String); 4] {
        [
            ("cx_connect_fail", self.failures.load(Relaxed).to_string()),
            ("cx_total", self.connections.load(Relaxed).to_string()),
            ("rq_active", self.active().to_string()),
            ("rq_total", self.requests.load(Relaxed).to_string()),
        ]
    }

    /// Sends one request and brings its answer. It is sent once: a connection that breaks
    /// under it is a loss that shows.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request<Incoming>,
        limit: Duration,
    ) -> Result<Response<Carried>, Refusal> {
        let active = Active::new(self);
        let mut sender = match self.take_idle() {
            Some(sender) => sender,
            None => self.connect(limit).await?,
        };
        let answer = sender.send_request(request).await.map_err(|error| {
            debug!(address = %self.address, ?error, "request failed");
            Refusal::Terminated
        })?;
        let lease = Some(Lease { sender, active });
        Ok(answer.map(|body| Carried { body, lease }))
    }

    /// Opens a connection for bytes.
    pub(super) async fn open(&self, limit: Duration) -> Result<Stream, Refusal> {
        self.connections.fetch_add(1, Relaxed);
        let opened = timeout(limit, self.way.dial(self.address)).await;
        let opened = opened.map_or(Err(Refusal::TimedOut), |opened| {
            opened.map_err(|error| Refusal::Unreachable(error.to_string()))
        });
        opened.inspect_err(|_| {
            self.failures.fetch_add(1, Relaxed);
        })
    }

    async fn connect(&self, limit: Duration) -> Result<Sender, Refusal> {
        let stream = TokioIo::new(self.open(limit).await?);
        let shaken = handshake(stream).await;
        let (sender, connection) = shaken.map_err(|e| Refusal::Unreachable(e.to_string()))?;
        let address = self.address;
        self.owner.spawn(async move {
            if let Err(error) = connection.await {
                debug!(%address, %error, "connection ended");
            }
        });
        Ok(sender)
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        let last = idle.iter().rposition(Sender::is_ready)?;
        Some(idle.swap_remove(last))
    }

    fn keep(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(sender);
    }
}

impl Way {
    /// In plain text.
    pub(super) fn plain() -> Self {
        Self {
            transport: Transport::Plain,
            tls: None,
        }
    }

    /// As a cluster says.
    pub(super) fn new(transport: &Transport, live: &LiveCredential) -> Result<Self, trust::Error> {
        let Transport::Tls(Client { sni, common }) = transport else {
            return Ok(Self::plain());
        };
        let alpn: Vec<&[u8]> = common.alpn.iter().map(String::as_bytes).collect();
        let config = client_config(live, common.peers.clone(), &alpn)?;
        Ok(Self {
            transport: transport.clone(),
            tls: Some((TlsConnector::from(config), sni.clone())),
        })
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<Stream> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Either::Left(tcp)),
            Some((tls, sni)) => tls.connect(sni.clone(), tcp).await.map(Either::Right),
        }
    }
}

impl PartialEq for Way {
    fn eq(&self, other: &Self) -> bool {
        self.transport == other.transport
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.transport.fmt(f)
    }
}

impl Carried {
    /// Gives the connection back once the answer has ended.
    fn release_at_end(&mut self) {
        if self.body.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.release();
        }
    }
}

impl Body for Carried {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(_)) => self.release_at_end(),
            Some(Err(_)) => self.lease = None,
            None => {
                if let Some(lease) = self.lease.take() {
                    lease.release();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        // An answer without a body is never polled.
        self.release_at_end();
    }
}

impl Lease {
    /// The request may still be on its way when its answer has ended: the connection is
    /// idle when it is ready for the next.
    fn release(self) {
        let (mut sender, Active(door)) = (self.sender, &self.active);
        if sender.is_ready() {
            return door.keep(sender);
        }
        let door = Arc::clone(door);
        let owner = door.owner.clone();
        owner.spawn(async move {
            if sender.ready().await.is_ok() {
                door.keep(sender);
            }
        });
    }
}

impl Active {
    fn new(door: &Arc<Door>) -> Self {
        door.active.fetch_add(1, Relaxed);
        door.requests.fetch_add(1, Relaxed);
        Self(Arc::clone(door))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}
