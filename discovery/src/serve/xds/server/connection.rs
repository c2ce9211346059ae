//! One connection: handshake, then HTTP/2 with the discovery service on it.

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
    aggregated_discovery_service_server::{
        AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
    },
};
use hyper::{Request, body::Incoming, rt, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Response, Status, Streaming};
use tower::Service;
use trust::tls::peer_identity;

use super::Shared;
use crate::serve::xds::{
    audience::Dropped,
    stream::{Exchange, Peer},
};

/// A connection that was accepted.
pub(super) struct Connection {
    remote: SocketAddr,
    shared: Arc<Shared>,
    handshake: Option<OwnedSemaphorePermit>,
    _connection: OwnedSemaphorePermit,
}

impl Connection {
    /// Takes a new connection in, unless there are too many.
    pub(super) fn admit(remote: SocketAddr, tls: bool, shared: &Arc<Shared>) -> Option<Self> {
        let counters = &shared.audience.counters;
        let Ok(connection) = Arc::clone(&shared.connections).try_acquire_owned() else {
            counters.dropped(Dropped::TooManyConnections);
            return None;
        };
        let mut handshake = None;
        if tls {
            handshake = Arc::clone(&shared.handshakes).try_acquire_owned().ok();
            if handshake.is_none() {
                counters.dropped(Dropped::TooManyHandshakes);
                return None;
            }
        }
        Some(Self {
            remote,
            shared: Arc::clone(shared),
            handshake,
            _connection: connection,
        })
    }

    /// Runs the connection to its end.
    pub(super) async fn run(self, tcp: TcpStream, tls: Option<TlsAcceptor>) {
        // Without it a push may wait for the peer's delayed acknowledgement.
        let _ = tcp.set_nodelay(true);
        match tls {
            None => self.serve(tcp, None).await,
            Some(tls) => self.secure(tcp, tls).await,
        }
    }

    async fn secure(mut self, tcp: TcpStream, tls: TlsAcceptor) {
        let limit = self.shared.settings.limits.handshake;
        let handshake = timeout(limit, tls.accept(tcp));
        let Some(outcome) = self.shared.cancel.run_until_cancelled(handshake).await else {
            return;
        };
        let (drop, error) = match outcome {
            Ok(Ok(stream)) => {
                self.handshake = None;
                let certificates = stream.get_ref().1.peer_certificates();
                match peer_identity(certificates.unwrap_or_default()) {
                    Ok(identity) => return self.serve(stream, Some(identity)).await,
                    Err(error) => (Dropped::HandshakeFailed, error.to_string()),
                }
            }
            Ok(Err(error)) => (Dropped::HandshakeFailed, error.to_string()),
            Err(_) => (Dropped::HandshakeTimeout, format!("longer than {limit:?}")),
        };
        self.shared.audience.counters.dropped(drop);
        tracing::warn!(remote = %self.remote, error, "TLS handshake failed");
    }

    async fn serve<S>(&self, io: S, identity: Option<trust::identity::SpiffeId>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.shared.settings.limits;
        let service = Discovery {
            shared: Arc::clone(&self.shared),
            peer: Peer {
                remote: self.remote,
                identity,
            },
        };
        let service = AggregatedDiscoveryServiceServer::new(service)
            .max_decoding_message_size(limits.request_bytes);
        let service = service_fn(move |request: Request<Incoming>| service.clone().call(request));
        let connection = http2::Builder::new(Owned(self.shared.tasks.clone()))
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.ping)
            .keep_alive_timeout(limits.pong)
            .max_concurrent_streams(MAX_STREAMS)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shared.cancel.cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(limits.stop, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(remote = %self.remote, %error, "connection ended");
        }
    }
}

/// The service of one connection.
struct Discovery {
    shared: Arc<Shared>,
    peer: Peer,
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type StreamAggregatedResourcesStream = ReceiverStream<Result<DiscoveryResponse, Status>>;
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        _: tonic::Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented(
            "only delta xDS is served: set api_type DELTA_GRPC in ads_config",
        ))
    }

    async fn delta_aggregated_resources(
        &self,
        requests: tonic::Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        // One response waits here, so that the next is made when this one has left.
        let (responses, receiver) = mpsc::channel(1);
        let exchange = Exchange {
            settings: Arc::clone(&self.shared.settings),
            audience: Arc::clone(&self.shared.audience),
            catalog: self.shared.catalog.clone(),
            peer: self.peer.clone(),
            requests: requests.into_inner(),
            responses,
            cancel: self.shared.cancel.clone(),
        };
        self.shared.tasks.spawn(exchange.run());
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Runs what HTTP/2 spawns as tasks of the server.
#[derive(Clone)]
struct Owned(TaskTracker);

impl<F> rt::Executor<F> for Owned
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// A proxy needs one stream; a second while it reconnects.
const MAX_STREAMS: u32 = 8;
