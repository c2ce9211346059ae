//! One stream of a viewer: feeds requests and changes to its [`Session`], and sends what
//! comes out.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use futures::{Stream, StreamExt};
use tokio::{sync::mpsc, sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use trust::identity::SpiffeId;

use super::{
    audience::{Audience, Place},
    catalog::Catalog,
    delta::{Heard, Session},
    offer::Lens,
    settings::Settings,
    viewer::{Refusal, Viewer},
};

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// Its address.
    pub(super) remote: SocketAddr,
    /// Its certificate's identity; `None` without TLS.
    pub(super) identity: Option<SpiffeId>,
}

/// What a stream needs.
pub(super) struct Exchange<R> {
    pub(super) settings: Arc<Settings>,
    pub(super) audience: Arc<Audience>,
    pub(super) catalog: watch::Receiver<Arc<Catalog>>,
    pub(super) peer: Peer,
    pub(super) requests: R,
    pub(super) responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    pub(super) cancel: CancellationToken,
}

/// What ended or happened next.
enum Event {
    Request(DeltaDiscoveryRequest),
    Change,
    Room,
    End,
}

impl<R> Exchange<R>
where
    R: Stream<Item = Result<DeltaDiscoveryRequest, Status>> + Unpin,
{
    /// Runs until the viewer goes, is refused, or the server stops.
    pub(super) async fn run(mut self) {
        let cancel = self.cancel.clone();
        let outcome = tokio::select! {
            outcome = self.talk() => outcome,
            () = cancel.cancelled() => Ok(()),
        };
        let Err(refusal) = outcome else {
            return;
        };
        self.audience.counters.refused(&refusal);
        let identity = self.peer.identity.as_ref().map(ToString::to_string);
        tracing::warn!(remote = %self.peer.remote, identity, %refusal, "viewer refused");
        // The viewer may be gone, or not reading.
        let _ = timeout(PARTING, self.responses.send(Err(refusal.into()))).await;
    }

    async fn talk(&mut self) -> Result<(), Refusal> {
        let Some(first) = self.first_request().await? else {
            return Ok(());
        };
        let viewer = Arc::new(self.admit(&first)?);
        let place = self.audience.seat(Arc::clone(&viewer), self.peer.remote)?;
        tracing::info!(node = %viewer.node, remote = %self.peer.remote, "viewer connected");
        // Before anything is known nobody is told that there is nothing.
        if self
            .catalog
            .wait_for(|catalog| catalog.is_ready())
            .await
            .is_err()
        {
            return Ok(());
        }
        let mut lens = Lens::new(Arc::clone(&viewer));
        let offer = lens.look(&self.newest()).clone();
        let mut session = Session::new(place.id.to_string(), self.settings.limits.names, offer);
        self.hear(&mut session, first, &viewer)?;
        let outcome = self.serve(&mut session, &mut lens, &place, &viewer).await;
        tracing::info!(node = %viewer.node, remote = %self.peer.remote, "viewer gone");
        outcome
    }

    async fn first_request(&mut self) -> Result<Option<DeltaDiscoveryRequest>, Refusal> {
        let limit = self.settings.limits.first_request;
        match timeout(limit, self.requests.next()).await {
            Ok(Some(Ok(request))) => Ok(Some(request)),
            Ok(_) => Ok(None),
            Err(_) => Err(Refusal::Silent(limit)),
        }
    }

    fn admit(&self, first: &DeltaDiscoveryRequest) -> Result<Viewer, Refusal> {
        let node = first.node.as_ref().ok_or(Refusal::NoNode)?;
        let identity = self.peer.identity.clone();
        self.settings.admission.admit(node, identity)
    }

    async fn serve(
        &mut self,
        session: &mut Session,
        lens: &mut Lens,
        place: &Place,
        viewer: &Viewer,
    ) -> Result<(), Refusal> {
        // Whether the session may have something to send.
        let mut eager = true;
        loop {
            place.show(session, lens.inbound());
            match self.next_event(eager).await {
                Event::Request(request) => {
                    self.hear(session, request, viewer)?;
                    eager = true;
                }
                Event::Change => {
                    session.tell(lens.look(&self.newest()));
                    eager = true;
                }
                Event::Room => match session.next() {
                    Some(response) => {
                        self.audience.counters.pushed(&response);
                        // There is room, and nobody else sends.
                        let _ = self.responses.try_send(Ok(response.into()));
                    }
                    None => eager = false,
                },
                Event::End => return Ok(()),
            }
        }
    }

    async fn next_event(&mut self, eager: bool) -> Event {
        tokio::select! {
            request = self.requests.next() => match request {
                Some(Ok(request)) => Event::Request(request),
                Some(Err(_)) | None => Event::End,
            },
            changed = self.catalog.changed() => match changed {
                Ok(()) => Event::Change,
                Err(_) => Event::End,
            },
            room = self.responses.reserve(), if eager => match room {
                Ok(_) => Event::Room,
                Err(_) => Event::End,
            },
        }
    }

    fn newest(&mut self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.borrow_and_update())
    }

    fn hear(
        &self,
        session: &mut Session,
        request: DeltaDiscoveryRequest,
        viewer: &Viewer,
    ) -> Result<(), Refusal> {
        let heard = session.request(request)?;
        self.audience.counters.heard(&heard);
        match heard {
            Heard::Nack(kind, text) => {
                tracing::warn!(node = %viewer.node, kind = kind.as_str(), text, "response refused");
            }
            Heard::Unknown(url) => {
                tracing::info!(node = %viewer.node, url, "asks for a type that is not served");
            }
            Heard::Request | Heard::Ack(_) | Heard::Stale(_) => {}
        }
        Ok(())
    }
}

/// How long a refusal may take to leave.
const PARTING: Duration = Duration::from_secs(1);
