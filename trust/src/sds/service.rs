//! The gRPC service of one workload's socket.

use std::{pin::Pin, sync::Arc};

use envoy_types::pb::envoy::service::{
    discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
    },
    secret::v3::secret_discovery_service_server::SecretDiscoveryService,
};
use futures::{Stream, stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

use super::{
    keeper::Holding,
    secrets::Secrets,
    subscription::{Heard, Subscription},
};

/// Serves the secrets of one workload, whatever its clients say about themselves.
pub(super) struct Service {
    holding: Arc<Holding>,
    stop: CancellationToken,
}

impl Service {
    pub(super) fn new(holding: Arc<Holding>, stop: CancellationToken) -> Self {
        Self { holding, stop }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SecretDiscoveryService for Service {
    type DeltaSecretsStream = Answers<DeltaDiscoveryResponse>;
    type StreamSecretsStream = Answers<DiscoveryResponse>;

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        let conversation = Conversation {
            requests: request.into_inner(),
            secrets: self.holding.secrets(),
            subscription: Subscription::default(),
            holding: Arc::clone(&self.holding),
            stop: self.stop.clone(),
            over: false,
        };
        let answers = stream::unfold(conversation, |mut conversation| async move {
            let answer = conversation.next().await?;
            Some((answer, conversation))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn stream_secrets(
        &self,
        _request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        Err(Status::unimplemented(USE_DELTA))
    }

    async fn fetch_secrets(
        &self,
        _request: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented(USE_DELTA))
    }
}

/// One stream, from its first request to its end.
struct Conversation {
    requests: Streaming<DeltaDiscoveryRequest>,
    secrets: watch::Receiver<Arc<Secrets>>,
    subscription: Subscription,
    holding: Arc<Holding>,
    stop: CancellationToken,
    over: bool,
}

impl Conversation {
    /// The next answer; none when the client or we are done.
    async fn next(&mut self) -> Option<Result<DeltaDiscoveryResponse, Status>> {
        while !self.over {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                request = self.requests.message() => {
                    let answer = self.hear(request.ok()??);
                    self.over = matches!(answer, Some(Err(_)));
                    if answer.is_some() {
                        return answer;
                    }
                }
                changed = self.secrets.changed() => {
                    changed.ok()?;
                    let secrets = Arc::clone(&self.secrets.borrow_and_update());
                    if let Some(answer) = self.subscription.changed(&secrets) {
                        return Some(Ok(answer));
                    }
                }
            }
        }
        None
    }

    fn hear(
        &mut self,
        request: DeltaDiscoveryRequest,
    ) -> Option<Result<DeltaDiscoveryResponse, Status>> {
        let secrets = Arc::clone(&self.secrets.borrow());
        match self.subscription.hear(request, &secrets) {
            Heard::Answer(answer) => Some(Ok(answer)),
            Heard::Nothing => None,
            Heard::Rejected(error) => {
                warn!(identity = %self.holding.workload().identity, error, "client rejected its secrets");
                None
            }
            Heard::Misplaced(type_url) => Some(Err(Status::invalid_argument(format!(
                "`{type_url}` is not served here; only secrets are"
            )))),
        }
    }
}

const USE_DELTA: &str =
    "only DeltaSecrets is served: set api_type DELTA_GRPC in the SDS config source";
