//! Secret discovery: each workload of a machine gets its leaf, and a new one in time.
//!
//! ```text
//!   authority (CA directory)
//!        │ issue, at half of life (renewal)
//!        ▼
//!     keeper ──► leaf directory of a workload
//!        │ watch
//!        ▼
//!   unix socket of a workload ──► DeltaSecrets: `default`, `ROOTCA`
//! ```
//!
//! Who connects decides the identity, never the name that is asked for: one socket serves one
//! identity, in a directory that only its owner may enter.

mod config;
mod keeper;
mod renewal;
mod secrets;
mod service;
mod socket;
mod subscription;

use std::{sync::Arc, time::Duration};

use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryServiceServer;
use time::OffsetDateTime;
use tokio::{task::JoinSet, time::timeout};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tracing::{info, warn};

use crate::error::Error;

pub use config::{Config, Problem, Validated, Workload};
use keeper::{Holding, Keeper};
use service::Service;
use socket::Socket;

/// Tells the time; the system's, except in tests.
type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// Issues leaves to every workload and serves them until cancelled. Returns after its sockets
/// have been removed.
///
/// # Errors
/// Before serving: [`Error::Read`], [`Error::Content`] or [`Error::Refused`] for the authority,
/// [`Error::Sign`] for a leaf, [`Error::Write`] or [`Error::Occupied`] for a socket or
/// directory. Afterwards: [`Error::Ended`] when a server stops although nobody asked it to.
pub async fn run(config: Validated, cancel: CancellationToken) -> Result<(), Error> {
    run_by(config, cancel, Arc::new(OffsetDateTime::now_utc)).await
}

async fn run_by(config: Validated, cancel: CancellationToken, clock: Clock) -> Result<(), Error> {
    let stop = cancel.child_token();
    // A socket that is taken ends this process before it has issued or written anything.
    let sockets = config
        .workloads
        .iter()
        .map(|workload| workload.socket.as_deref().map(Socket::bind).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    let keeper = Keeper::open(&config, clock).await?;
    let mut tasks = JoinSet::new();
    for (socket, holding) in sockets.into_iter().zip(keeper.holdings()) {
        if let Some(socket) = socket {
            let identity = &holding.workload().identity;
            info!(%identity, socket = %socket.path().display(), "serving secrets");
            tasks.spawn(serve(socket, holding, stop.clone()));
        }
    }
    tasks.spawn(keeper.keep(stop.clone()));
    let outcome = until_stopped(&mut tasks, &cancel).await;
    stop.cancel();
    let ended = timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        warn!(limit = ?DRAIN, "clients did not let go of their streams; closing them");
    }
    tasks.shutdown().await;
    outcome
}

/// Waits for the cancellation; a task that ends before it is an error.
async fn until_stopped(
    tasks: &mut JoinSet<Result<(), Error>>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let ended = tokio::select! {
        () = cancel.cancelled() => return Ok(()),
        ended = tasks.join_next() => ended,
    };
    let unexpected = |why: &str| Error::Ended {
        place: "SDS".to_owned(),
        why: why.to_owned(),
    };
    match ended {
        _ if cancel.is_cancelled() => Ok(()),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => Err(unexpected(&error.to_string())),
        Some(Ok(Ok(()))) | None => Err(unexpected("a server stopped")),
    }
}

/// Serves one workload on its socket, and removes the socket in the end.
async fn serve(
    socket: Socket,
    holding: Arc<Holding>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let (listener, file) = socket.into_parts();
    let service = Service::new(Arc::clone(&holding), stop.clone());
    let served = Server::builder()
        .add_service(SecretDiscoveryServiceServer::new(service))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop.cancelled_owned())
        .await;
    drop(file);
    served.map_err(|error| Error::Ended {
        place: format!("SDS of `{}`", holding.workload().identity),
        why: error.to_string(),
    })
}

/// How long clients have to end their streams when we stop.
const DRAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
