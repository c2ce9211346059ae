//! Bytes to and from an API server: sockets that notice a dead peer, TLS, and a switch under
//! the client.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Request, Response, header};
use hyper_rustls::{
    ConfigBuilderExt, FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::client::{Body, middleware::BaseUriLayer};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use super::{Roots, Target};
use crate::{
    credential::Credential,
    error::Error,
    remote::life::{Life, WitnessLayer, Witnessed},
};

/// Bounds of the connections to one API server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire {
    /// How long a TCP connect may take.
    pub(crate) connect: Duration,
    /// Silence after which the kernel asks whether the peer is there, and between two such
    /// questions.
    pub(crate) keepalive: Duration,
    /// How long anything sent may stay without acknowledgement (`TCP_USER_TIMEOUT`).
    pub(crate) unacknowledged: Duration,
}

/// The one connection to a cluster. Clients made of it stay the same over every switch.
#[derive(Clone)]
pub(crate) struct Connection {
    channel: Arc<ArcSwap<Channel>>,
    wire: Wire,
    life: Life,
}

/// One server, spoken to with one CA and client certificate.
struct Channel {
    credential: Credential,
    /// Lists and watches; each watch holds a socket of this pool.
    watches: Stack,
    /// Heartbeats, on a socket of their own: a slow list never delays one.
    heartbeats: Stack,
    retired: CancellationToken,
}

/// One of a channel's two lanes.
#[derive(Debug, Clone, Copy)]
enum Lane {
    Watches,
    Heartbeats,
}

/// Sends each request into the channel of the moment.
#[derive(Clone)]
struct Switch {
    channel: Arc<ArcSwap<Channel>>,
    lane: Lane,
}

type Stack = BoxCloneSyncService<Request<Body>, Response<Witnessed>, BoxError>;

impl Connection {
    /// A connection to `target`; nothing is dialled yet.
    pub(crate) fn open(target: &Target, wire: Wire, life: Life) -> Result<Self, Error> {
        let channel = Channel::open(target, wire, &life)?;
        Ok(Self {
            channel: Arc::new(ArcSwap::from_pointee(channel)),
            wire,
            life,
        })
    }

    /// The client for lists and watches. Needs a tokio runtime.
    pub(crate) fn watches(&self) -> kube::Client {
        self.client(Lane::Watches)
    }

    /// The client for heartbeats. Needs a tokio runtime.
    pub(crate) fn heartbeats(&self) -> kube::Client {
        self.client(Lane::Heartbeats)
    }

    /// Replaces the token in the running client.
    pub(crate) fn renew(&self, target: &Target) {
        let channel = self.channel.load();
        channel.credential.replace(target.authorization.clone());
    }

    /// From now on every request goes to `target`; what runs in the old channel is ended, so
    /// that watches resume in the new one.
    pub(crate) fn switch(&self, target: &Target) -> Result<(), Error> {
        let channel = Channel::open(target, self.wire, &self.life)?;
        let old = self.channel.swap(Arc::new(channel));
        old.retired.cancel();
        Ok(())
    }

    /// A connection of its own to `target`, to ask who it is before [`Connection::switch`]:
    /// its answers are no proof of life of this cluster.
    pub(crate) fn probe(&self, target: &Target) -> Result<kube::Client, Error> {
        Self::open(target, self.wire, Life::default()).map(|connection| connection.heartbeats())
    }

    fn client(&self, lane: Lane) -> kube::Client {
        let switch = Switch {
            channel: Arc::clone(&self.channel),
            lane,
        };
        kube::Client::new(switch, "default")
    }
}

impl Channel {
    fn open(target: &Target, wire: Wire, life: &Life) -> Result<Self, Error> {
        let credential = Credential::new(target.authorization.clone());
        let retired = CancellationToken::new();
        let connector = connector(target, wire)?;
        let lane = || {
            let http = Client::builder(TokioExecutor::new()).build(connector.clone());
            let stack = ServiceBuilder::new()
                .layer(BaseUriLayer::new(target.server.clone()))
                .layer(credential.clone())
                .layer(WitnessLayer::new(life.clone(), retired.clone()))
                .map_err(BoxError::from)
                .service(http);
            Stack::new(stack)
        };
        Ok(Self {
            watches: lane(),
            heartbeats: lane(),
            credential,
            retired,
        })
    }
}

impl Service<Request<Body>> for Switch {
    type Response = Response<Witnessed>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let agent = HeaderValue::from_static(USER_AGENT);
        request.headers_mut().insert(header::USER_AGENT, agent);
        let channel = self.channel.load();
        let stack = match self.lane {
            Lane::Watches => channel.watches.clone(),
            Lane::Heartbeats => channel.heartbeats.clone(),
        };
        stack.oneshot(request).boxed()
    }
}

fn connector(target: &Target, wire: Wire) -> Result<HttpsConnector<HttpConnector>, Error> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(wire.connect));
    http.set_keepalive(Some(wire.keepalive));
    http.set_keepalive_interval(Some(wire.keepalive));
    http.set_tcp_user_timeout(Some(wire.unacknowledged));
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls(target)?)
        .https_or_http();
    let builder = match &target.server_name {
        Some(name) => {
            let name = ServerName::try_from(name.clone()).map_err(|e| refused(target, &e))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name))
        }
        None => builder,
    };
    Ok(builder.enable_http1().wrap_connector(http))
}

fn tls(target: &Target) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| refused(target, &e))?;
    let builder = match &target.roots {
        Roots::System => builder
            .with_native_roots()
            .map_err(|e| refused(target, &e))?,
        Roots::Given(certificates) => {
            let mut store = RootCertStore::empty();
            for certificate in certificates {
                store
                    .add(certificate.clone())
                    .map_err(|e| refused(target, &e))?;
            }
            builder.with_root_certificates(store)
        }
    };
    match &target.identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|e| refused(target, &e)),
    }
}

fn refused(target: &Target, reason: &dyn std::fmt::Display) -> Error {
    Error::Tls {
        server: target.server.to_string(),
        reason: reason.to_string(),
    }
}

/// Who we are in an API server's audit log.
const USER_AGENT: &str = concat!("isthmus-discovery/", env!("CARGO_PKG_VERSION"));
