//! Follows a control plane: connects, asks, takes updates in, publishes, and comes back
//! when it is lost. The routes stay meanwhile.

use std::{
    collections::BTreeMap,
    future::pending,
    time::{Duration, Instant, SystemTime},
};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::sleep,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Publisher,
    backoff::Backoff,
    call::call,
    connect::{Connection, Connector, ControlPlane},
    message::Response,
    node::node,
    resources::{Applied, Resources},
    session::{Kind, Session},
    standing::Outcome,
};

/// Follows until dropped.
pub(crate) async fn follow(
    to: ControlPlane<'_>,
    publisher: &Publisher,
    cancel: &CancellationToken,
) {
    let mut connector = Connector::new(publisher.config(), to, cancel);
    let resources = {
        let table = publisher.table();
        let routes = table.routes().map(|route| route.shared_spec());
        Resources::remembering(routes, publisher.listeners())
    };
    let mut subscriber = Subscriber {
        publisher,
        hold: to.hold(),
        resources,
        backoff: Backoff::new(rand::random()),
    };
    loop {
        let lost = match connector.connect().await {
            Ok(connection) => subscriber.listen(connection).await,
            Err(why) => why,
        };
        tracing::warn!(control_plane = to.address(), error = %lost, "lost; the routes stay");
        publisher.board.lock().lost(Instant::now(), lost);
        sleep(subscriber.backoff.wait()).await;
    }
}

/// What outlives the streams.
struct Subscriber<'a> {
    publisher: &'a Publisher,
    /// How long a stream is not believed that says less than there was.
    hold: Option<Duration>,
    resources: Resources,
    backoff: Backoff,
}

/// One stream.
struct Asked {
    session: Session,
    /// Whether assignments that were wanted before it are not asked for yet.
    behind: bool,
    /// Bounded by the responses that are answered one by one.
    requests: UnboundedSender<DeltaDiscoveryRequest>,
}

impl Subscriber<'_> {
    /// Lives through one stream and says how it ended.
    async fn listen(&mut self, connection: Connection) -> String {
        let (requests, sent) = unbounded_channel();
        let mut asked = Asked {
            session: Session::new(node(self.publisher.config())),
            behind: true,
            requests,
        };
        for kind in [Kind::Cluster, Kind::Listener] {
            let request = asked.session.everything(kind, self.resources.names(kind));
            asked.send(request);
        }
        let sent = UnboundedReceiverStream::new(sent);
        let mut responses = match call(connection, sent).await {
            Ok(responses) => responses,
            Err(status) => return reason(&status),
        };
        self.publisher.board.lock().connections += 1;
        if self.hold.is_some() {
            self.resources.doubt();
            self.tell_memory();
        }
        let hold = self.hold;
        let mut settled = Box::pin(async move {
            match hold {
                Some(hold) => sleep(hold).await,
                None => pending().await,
            }
        });
        let mut doubted = self.hold.is_some();
        loop {
            let response = tokio::select! {
                response = responses.message() => response,
                () = &mut settled, if doubted => {
                    doubted = false;
                    self.settle();
                    continue;
                }
            };
            match response {
                Ok(Some(response)) => self.take(response, &mut asked),
                Ok(None) => return "the control plane ended the stream".to_owned(),
                Err(status) => return reason(&status),
            }
        }
    }

    /// What the stream has not said until now is gone.
    fn settle(&mut self) {
        let before = self.resources.remembered();
        if self.resources.settle() {
            let left = self.resources.remembered();
            tracing::warn!(
                routes = before - left,
                "the control plane has none of these any more"
            );
            self.publisher.listen(self.resources.listeners());
            self.publisher.change(self.resources.changes());
        }
        self.tell_memory();
    }

    /// Takes one response in: applies, answers, asks for what follows from it, publishes.
    fn take(&mut self, response: Response, asked: &mut Asked) {
        let (answer, update) = match asked.session.receive(response) {
            Ok(received) => received,
            Err(unasked) => {
                tracing::warn!(%unasked, "ignored");
                return;
            }
        };
        let kind = update.kind;
        let mut applied = self.resources.apply(update);
        if kind == Kind::Listener {
            let missing = self.publisher.listen(self.resources.listeners());
            let missing = missing.into_iter();
            let refused = missing.map(|(name, why)| (name.to_string(), why));
            applied.refused.extend(refused);
        }
        if applied.changed {
            self.publisher.change(self.resources.changes());
        }
        let answer = match applied.refused.as_slice() {
            [] => answer.ack(),
            refused => answer.nack(list(refused)),
        };
        asked.send(Some(answer));
        if applied.again {
            let request = asked.session.again(Kind::Cluster);
            asked.send(Some(request));
        }
        if applied.asks || kind != Kind::Assignment && asked.behind {
            asked.behind = false;
            let next = asked.session.assignments(self.resources.wanted());
            next.into_iter()
                .for_each(|request| asked.send(Some(request)));
        }
        self.backoff.reset();
        self.report(kind, &applied);
    }

    fn report(&self, kind: Kind, applied: &Applied) {
        let outcome = match applied {
            Applied { refused, .. } if !refused.is_empty() => Outcome::Refused,
            Applied { changed: true, .. } => Outcome::Changed,
            _ => Outcome::Unchanged,
        };
        let quarantine: BTreeMap<_, _> = self.resources.quarantined().collect();
        self.tell_memory();
        let mut standing = self.publisher.board.lock();
        standing.touched(Instant::now());
        *standing.messages.entry((kind, outcome)).or_default() += 1;
        if applied.changed {
            standing.changed = Some(SystemTime::now());
        }
        if outcome == Outcome::Refused {
            let refused = list(&applied.refused);
            tracing::warn!(kind = kind.label(), %refused, "refused; what was before stays");
            standing.last_error = Some(refused);
        }
        for (what, why) in &quarantine {
            if standing.quarantine.get(what) != Some(why) {
                tracing::warn!(kind = what.0.label(), name = what.1, %why, "quarantined");
            }
        }
        standing.quarantine = quarantine;
    }
}

impl Subscriber<'_> {
    /// Says which routes are known from before this stream only.
    fn tell_memory(&self) {
        let mut standing = self.publisher.board.lock();
        let before = (standing.complete, standing.remembered, standing.held);
        standing.complete = standing.complete || self.resources.is_complete();
        if !self.resources.is_remembering() {
            standing.remembered = None;
        }
        standing.held = self.resources.remembered();
        if before != (standing.complete, standing.remembered, standing.held) {
            // What is kept of the table is another thing, though the table may be the same.
            self.publisher.changed.send_replace(());
        }
    }
}

impl Asked {
    /// A stream that has ended takes no more requests; its reader sees that end too.
    fn send(&self, request: Option<DeltaDiscoveryRequest>) {
        if let Some(request) = request {
            let _ = self.requests.send(request);
        }
    }
}

fn list(refused: &[(String, String)]) -> String {
    let each = refused.iter().map(|(name, why)| format!("{name}: {why}"));
    each.collect::<Vec<_>>().join("; ")
}

fn reason(status: &Status) -> String {
    format!("{}: {}", status.code(), status.message())
}
