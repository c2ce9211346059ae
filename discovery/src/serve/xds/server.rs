//! The server: accepts, shakes hands, and runs a stream for each viewer. Every task is
//! owned by [`Server::run`], which returns when all have ended.

mod connection;
#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trust::tls::{LiveCredential, Peers, server_config};

use self::connection::Connection;
use super::{audience::Audience, catalog::Catalog, settings::Settings};
use crate::{config::Listen, model::Mesh};

/// The xDS server of a cluster.
#[derive(Debug)]
pub struct Server {
    settings: Arc<Settings>,
    mesh: watch::Receiver<Arc<Mesh>>,
    catalog: watch::Sender<Arc<Catalog>>,
    audience: Arc<Audience>,
}

/// Where the server answers: mesh mTLS, plain text, or both.
#[derive(Default)]
pub struct Listeners {
    tls: Option<(TcpListener, TlsAcceptor)>,
    plain_text: Option<TcpListener>,
}

/// Why a listener cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {error}; free it, or set another in `listen`")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// mTLS without a credential.
    #[error("`listen.xds` needs a credential: set `tls.directory`, or `listen.xds: null`")]
    NoCredential,
    /// Plain text would be reachable from outside.
    #[error(
        "plain text xDS may listen on loopback only, not on {0}: use the mTLS listener for others"
    )]
    NotLoopback(SocketAddr),
    /// The socket does not know its address.
    #[error("the listener has no address: {0}")]
    Address(#[from] io::Error),
    /// The TLS settings are refused.
    #[error(transparent)]
    Tls(#[from] trust::Error),
}

impl Server {
    /// A server of what `mesh` says.
    #[must_use]
    pub fn new(settings: Settings, mesh: watch::Receiver<Arc<Mesh>>) -> Self {
        let first = Catalog::new(settings.ground.clone());
        let (catalog, seen) = watch::channel(Arc::new(first));
        let audience = Arc::new(Audience::new(settings.limits.viewers, seen));
        Self {
            settings: Arc::new(settings),
            mesh,
            catalog,
            audience,
        }
    }

    /// Who is connected, and what was counted.
    #[must_use]
    pub fn audience(&self) -> Arc<Audience> {
        Arc::clone(&self.audience)
    }

    /// Serves until `cancel`; then streams end, and after
    /// [`Limits::stop`](super::settings::Limits::stop) what is left is cut.
    pub async fn run(self, listeners: Listeners, cancel: CancellationToken) {
        let tasks = TaskTracker::new();
        let shared = Arc::new(Shared {
            catalog: self.catalog.subscribe(),
            connections: Arc::new(Semaphore::new(self.settings.limits.connections)),
            handshakes: Arc::new(Semaphore::new(self.settings.limits.handshakes)),
            settings: self.settings,
            audience: self.audience,
            tasks: tasks.clone(),
            cancel: cancel.clone(),
        });
        tasks.spawn(keep_catalog(self.mesh, self.catalog, cancel.clone()));
        if let Some((listener, tls)) = listeners.tls {
            tasks.spawn(accept(listener, Some(tls), Arc::clone(&shared)));
        }
        if let Some(listener) = listeners.plain_text {
            tasks.spawn(accept(listener, None, Arc::clone(&shared)));
        }
        drop(shared);
        cancel.cancelled().await;
        tasks.close();
        tasks.wait().await;
    }
}

impl Listeners {
    /// Listens where a configuration says.
    ///
    /// # Errors
    /// When an address or the credential cannot be used.
    pub async fn bind(listen: &Listen, live: Option<&LiveCredential>) -> Result<Self, Unusable> {
        let mut listeners = Self::default();
        if let Some(address) = listen.xds {
            let live = live.ok_or(Unusable::NoCredential)?;
            listeners = listeners.tls(socket(address).await?, live)?;
        }
        if let Some(address) = listen.xds_plain_text {
            listeners = listeners.plain_text(socket(address).await?)?;
        }
        Ok(listeners)
    }

    /// Mesh mTLS on `listener`: leaves below the intermediate of our own leaf.
    ///
    /// # Errors
    /// When the TLS settings are refused.
    pub fn tls(mut self, listener: TcpListener, live: &LiveCredential) -> Result<Self, Unusable> {
        let config = server_config(live, Peers::SameIntermediate, &[b"h2"])?;
        self.tls = Some((listener, TlsAcceptor::from(config)));
        Ok(self)
    }

    /// Plain text on `listener`, where nodes are believed.
    ///
    /// # Errors
    /// When it is not on loopback.
    pub fn plain_text(mut self, listener: TcpListener) -> Result<Self, Unusable> {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            return Err(Unusable::NotLoopback(address));
        }
        self.plain_text = Some(listener);
        Ok(self)
    }
}

/// What all connections share.
struct Shared {
    settings: Arc<Settings>,
    audience: Arc<Audience>,
    catalog: watch::Receiver<Arc<Catalog>>,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

/// Makes a catalog of each mesh, the newest, unless it says nothing.
async fn keep_catalog(
    mut mesh: watch::Receiver<Arc<Mesh>>,
    catalog: watch::Sender<Arc<Catalog>>,
    cancel: CancellationToken,
) {
    let follow = async {
        loop {
            let newest = Arc::clone(&mesh.borrow_and_update());
            let before = Arc::clone(&catalog.borrow());
            if let Some(next) = before.next(&newest) {
                catalog.send_replace(Arc::new(next));
            }
            if mesh.changed().await.is_err() {
                // Nobody watches any more; what is known stays.
                std::future::pending::<()>().await;
            }
        }
    };
    cancel.run_until_cancelled(follow).await;
}

/// Accepts, and only accepts.
async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let accepted = shared.cancel.run_until_cancelled(listener.accept()).await;
        match accepted {
            None => return,
            Some(Ok((tcp, remote))) => {
                if let Some(connection) = Connection::admit(remote, tls.is_some(), &shared) {
                    let tls = tls.clone();
                    shared.tasks.spawn(connection.run(tcp, tls));
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "accepting paused");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn socket(address: SocketAddr) -> Result<TcpListener, Unusable> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| Unusable::Bind { address, error })
}

/// How long accepting pauses when the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
