//! Follows SDS: a live credential, replaced when a new one comes, kept when SDS is lost.

use std::path::PathBuf;

use eastwest::sync::backoff::Backoff;
use envoy_types::pb::envoy::{
    config::core::v3::Node,
    extensions::transport_sockets::tls::v3::Secret,
    service::{
        discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
        secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient,
    },
};
use hyper_util::rt::TokioIo;
use prost::Name;
use time::OffsetDateTime;
use tokio::{
    net::UnixStream,
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tracing::{info, warn};
use trust::tls::LiveCredential;

use super::{
    bootstrap::Bootstrap,
    secret::{CERTIFICATE, ROOTS, Secrets},
};

/// The workload's credential, as its SDS has it.
pub(super) struct Credential {
    socket: PathBuf,
    node: Node,
    secrets: Secrets,
    live: watch::Sender<Option<LiveCredential>>,
}

impl Credential {
    /// One that is not there yet; the receiver tells when it is.
    pub(super) fn new(bootstrap: &Bootstrap) -> (Self, watch::Receiver<Option<LiveCredential>>) {
        let (live, seen) = watch::channel(None);
        let credential = Self {
            socket: bootstrap.secrets.clone(),
            node: bootstrap.presented(),
            secrets: Secrets::default(),
            live,
        };
        (credential, seen)
    }

    /// Follows until dropped.
    pub(super) async fn follow(mut self) {
        let mut backoff = Backoff::new(rand::random());
        loop {
            let lost = match self.connect().await {
                Ok(channel) => self.listen(channel, &mut backoff).await,
                Err(error) => format!("{error:?}"),
            };
            warn!(socket = %self.socket.display(), error = lost, "SDS lost; the credential stays");
            sleep(backoff.wait()).await;
        }
    }

    async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        let socket = self.socket.clone();
        let dial = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://sds")
            .connect_with_connector(dial)
            .await
    }

    /// Lives through one stream and says how it ended.
    async fn listen(&mut self, channel: Channel, backoff: &mut Backoff) -> String {
        let (requests, sent) = mpsc::channel(QUEUE);
        let first = DeltaDiscoveryRequest {
            node: Some(self.node.clone()),
            resource_names_subscribe: [CERTIFICATE, ROOTS].map(str::to_owned).into(),
            ..request()
        };
        // The queue is empty and open: its other end is here.
        let _ = requests.try_send(first);
        let mut client = SecretDiscoveryServiceClient::new(channel);
        let mut responses = match client.delta_secrets(ReceiverStream::new(sent)).await {
            Ok(responses) => responses.into_inner(),
            Err(status) => return status.to_string(),
        };
        loop {
            let response = match responses.message().await {
                Ok(Some(response)) => response,
                Ok(None) => return "the stream has ended".to_owned(),
                Err(status) => return status.to_string(),
            };
            backoff.reset();
            let answer = self.take(response);
            if requests.send(answer).await.is_err() {
                return "the stream takes no answers".to_owned();
            }
        }
    }

    fn take(&mut self, response: DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
        let resources = response.resources.into_iter();
        let taken: Vec<_> = resources
            .filter_map(|resource| resource.resource)
            .filter_map(|secret| self.secrets.take(&secret.value).err())
            .collect();
        let credential = self.secrets.credential(OffsetDateTime::now_utc());
        let (credential, unfit) = match credential {
            Ok(credential) => (credential, None),
            Err(unfit) => (None, Some(unfit)),
        };
        if let Some(credential) = credential {
            let identity = credential.identity().clone();
            self.live.send_modify(|live| match live {
                Some(live) => live.replace(credential),
                None => *live = Some(LiveCredential::new(credential)),
            });
            info!(%identity, "credential in use");
        }
        let refused = taken.into_iter().chain(unfit);
        let refused: Vec<_> = refused.map(|unfit| unfit.to_string()).collect();
        let detail = || envoy_types::pb::google::rpc::Status {
            message: refused.join("; "),
            ..Default::default()
        };
        if !refused.is_empty() {
            warn!(refused = refused.join("; "), "secrets refused");
        }
        DeltaDiscoveryRequest {
            response_nonce: response.nonce,
            error_detail: (!refused.is_empty()).then(detail),
            ..request()
        }
    }
}

fn request() -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: Secret::type_url(),
        ..Default::default()
    }
}

/// Requests that may wait: one for each response.
const QUEUE: usize = 4;
