//! Follows a control plane: connects, asks, takes updates in, publishes, and comes back
//! when it is lost. The routes stay meanwhile.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use envoy_types::pb::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Client,
    },
};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::sleep,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};

use super::{
    Publisher,
    backoff::Backoff,
    connect::Connector,
    resources::{Applied, Resources},
    session::{Kind, Session},
    standing::Outcome,
};
use crate::config::{Config, Xds};

/// Follows until dropped.
pub(crate) async fn follow(xds: &Xds, publisher: &Publisher, cancel: &CancellationToken) {
    let mut connector = Connector::new(publisher.config(), xds, cancel);
    let remembered = publisher.specs();
    let mut subscriber = Subscriber {
        publisher,
        resources: Resources::remembering(remembered),
        backoff: Backoff::new(rand::random()),
    };
    loop {
        let lost = match connector.connect(xds).await {
            Ok(channel) => subscriber.listen(channel).await,
            Err(why) => why,
        };
        tracing::warn!(control_plane = %xds.address, error = %lost, "lost; the routes stay");
        publisher.board.lock().lost(Instant::now(), lost);
        sleep(subscriber.backoff.wait()).await;
    }
}

/// What outlives the streams.
struct Subscriber<'a> {
    publisher: &'a Publisher,
    resources: Resources,
    backoff: Backoff,
}

/// One stream.
struct Asked {
    session: Session,
    /// Bounded by the responses that are answered one by one.
    requests: UnboundedSender<DeltaDiscoveryRequest>,
}

impl Subscriber<'_> {
    /// Lives through one stream and says how it ended.
    async fn listen(&mut self, channel: Channel) -> String {
        let (requests, sent) = unbounded_channel();
        let mut asked = Asked {
            session: Session::new(node(self.publisher.config())),
            requests,
        };
        for kind in [Kind::Cluster, Kind::Listener] {
            let request = asked.session.everything(kind);
            asked.send(request);
        }
        let mut client = Client::new(channel).max_decoding_message_size(usize::MAX);
        let sent = UnboundedReceiverStream::new(sent);
        let mut responses = match client.delta_aggregated_resources(sent).await {
            Ok(response) => response.into_inner(),
            Err(status) => return reason(&status),
        };
        self.publisher.board.lock().connections += 1;
        loop {
            match responses.message().await {
                Ok(Some(response)) => self.take(response, &mut asked),
                Ok(None) => return "the control plane ended the stream".to_owned(),
                Err(status) => return reason(&status),
            }
        }
    }

    /// Takes one response in: applies, answers, asks for what follows from it, publishes.
    fn take(&mut self, response: DeltaDiscoveryResponse, asked: &mut Asked) {
        let (answer, update) = match asked.session.receive(response) {
            Ok(received) => received,
            Err(unasked) => {
                tracing::warn!(%unasked, "ignored");
                return;
            }
        };
        let kind = update.kind;
        let applied = self.resources.apply(update);
        let answer = match applied.refused.as_slice() {
            [] => answer.ack(),
            refused => answer.nack(list(refused)),
        };
        asked.send(Some(answer));
        if kind == Kind::Cluster {
            let next = asked.session.assignments(self.resources.wanted());
            asked.send(next);
        }
        self.backoff.reset();
        if applied.changed {
            self.publisher.publish(self.resources.routes());
        }
        self.report(kind, &applied);
    }

    fn report(&self, kind: Kind, applied: &Applied) {
        let outcome = match applied {
            Applied { refused, .. } if !refused.is_empty() => Outcome::Refused,
            Applied { changed: true, .. } => Outcome::Changed,
            _ => Outcome::Unchanged,
        };
        let quarantine: BTreeMap<_, _> = self.resources.quarantined().collect();
        let mut standing = self.publisher.board.lock();
        let before = (standing.complete, standing.remembered);
        standing.touched(Instant::now());
        *standing.messages.entry((kind, outcome)).or_default() += 1;
        standing.complete = standing.complete || self.resources.is_complete();
        if !self.resources.is_remembering() {
            standing.remembered = None;
        }
        if before != (standing.complete, standing.remembered) {
            // What is kept of the table is another thing, though the table may be the same.
            self.publisher.changed.send_replace(());
        }
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

/// Who asks, in Istio's grammar `router~<address>~<pod>.<namespace>~<domain>`.
fn node(config: &Config) -> Node {
    let own = &config.node;
    let (address, pod, namespace) = (own.address, &own.pod, &own.namespace);
    Node {
        id: format!("router~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local"),
        cluster: own.workload.clone(),
        user_agent_name: "isthmus-eastwest".to_owned(),
        ..Default::default()
    }
}
