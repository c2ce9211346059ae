//! A small client and server sidecar, that speaks the xDS and SDS that Envoy speaks.
//!
//! Not a product: the peer of the demo and of scenarios where no Envoy is. It takes the
//! bootstrap file of an Envoy, answers the admin pages of an Envoy, and does to a request
//! what an Envoy does under the configuration that our discovery sends: that configuration
//! it knows whole, and what it does not know it refuses instead of guessing.
//!
//! ```text
//!  SDS ──► secret ── credential ─┐ who we are, whom we believe
//!                                ▼
//!  ADS ◄─► session ─ stream ─► resource ─► known ─► picture ───┐
//!                                                     │        ▼
//!           a request ──► listeners ─► entrance ─► exchange ─ upstream ─► door ──► a peer
//! ```
//! What is decided (`secret`, `session`, `resource`, `known`, `forward`,
//! `client_certificate`, `balance`) is pure; the rest does it.
//!
//! It differs from Envoy where no scenario can tell: it adds no headers of its own
//! (`x-request-id`, `x-envoy-…`), draws by weight where Envoy takes turns by weight, and
//! refuses a client whose ALPN it shares none of (Envoy goes on without).

pub mod bootstrap;

pub mod secret;

mod credential;

pub mod session;

mod stream;

pub mod resource;

pub mod known;

mod picture;

mod listeners;

mod entrance;

pub mod client_certificate;

pub mod forward;

mod exchange;

pub mod refusal;

pub mod balance;

mod upstream;

mod door;

pub mod status;

mod admin;

mod owner;

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, info_span};

pub use self::{
    bootstrap::Bootstrap,
    status::{Stand, Status},
};
use self::{credential::Credential, owner::Owner, picture::Picture};

/// A sidecar at work. Dropping the value leaves it at work: its token ends it.
#[derive(Debug)]
pub struct Sidecar {
    status: Status,
    owner: Owner,
}

impl Sidecar {
    /// Starts: gets a certificate, then what discovery says, then opens its listeners, and
    /// goes on until `cancel`; [`Status::stand`] tells how far it is. Connections end with
    /// it, as those of an Envoy that is told to stop.
    ///
    /// # Errors
    /// When the admin pages cannot listen at their address.
    pub async fn start(bootstrap: Bootstrap, cancel: CancellationToken) -> Result<Self> {
        let owner = Owner::new(cancel, info_span!("sidecar", pod = bootstrap.pod()));
        let status = Status::default();
        if let Some(address) = bootstrap.admin {
            let listener = TcpListener::bind(address).await;
            let listener = listener
                .with_context(|| format!("the admin pages cannot listen on {address}; free it"))?;
            owner.spawn_to_end(admin::serve(listener, status.clone(), owner.token()));
        }
        owner.spawn(run(bootstrap, status.clone(), owner.clone()));
        Ok(Self { status, owner })
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Begins the end: requests are still taken, and each HTTP/1 connection closes with its
    /// next answer, so that clients go elsewhere without losing any (what an Envoy does when
    /// it drains).
    pub fn drain(&self) {
        self.owner.drain();
    }

    /// Waits until all has ended, after the token was cancelled.
    pub async fn join(self) {
        self.owner.join().await;
    }
}

/// The three that follow one another: the credential, the configuration, the listeners.
async fn run(bootstrap: Bootstrap, status: Status, owner: Owner) {
    info!(node = bootstrap.node, "starts");
    let (credential, mut live) = Credential::new(&bootstrap);
    owner.spawn(credential.follow());
    let Ok(live) = live
        .wait_for(Option::is_some)
        .await
        .map(|live| live.clone())
    else {
        return;
    };
    let Some(live) = live else { return };
    let (pictures, seen) = watch::channel(Arc::new(Picture::default()));
    status.show(seen.clone());
    owner.spawn(listeners::keep(
        seen,
        live.clone(),
        status.clone(),
        owner.clone(),
    ));
    let ground = upstream::Ground {
        live,
        owner: owner.clone(),
    };
    stream::follow(&bootstrap, ground, &pictures, &status).await;
}
