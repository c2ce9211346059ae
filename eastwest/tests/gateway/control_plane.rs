//! A control plane in the process: the test reads each request and writes each response.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use envoy_types::pb::{
    envoy::service::discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
        Resource,
        aggregated_discovery_service_server::{
            AggregatedDiscoveryService, AggregatedDiscoveryServiceServer as Server,
        },
    },
    google::protobuf::Any,
};
use prost::Message;
use rustls::ServerConfig;
use tokio::{
    io::{copy_bidirectional, duplex},
    net::TcpListener,
    sync::mpsc::{
        Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel,
    },
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use crate::world::SOON;

pub(crate) const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
pub(crate) const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
pub(crate) const ASSIGNMENT: &str =
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// Where gateways connect to.
pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    /// What the next streams are refused with, one each.
    pub(crate) refusals: Refusals,
    streams: Receiver<Asked>,
    tasks: JoinSet<()>,
}

/// One stream of a gateway; dropped, it ends.
pub(crate) struct Asked {
    /// What the call said beside its requests.
    pub(crate) metadata: MetadataMap,
    requests: UnboundedReceiver<DeltaDiscoveryRequest>,
    responses: UnboundedSender<Result<DeltaDiscoveryResponse, Status>>,
    nonce: Arc<AtomicU32>,
}

type Refusals = Arc<Mutex<VecDeque<Status>>>;

struct Service(Sender<Asked>, Refusals);

impl ControlPlane {
    /// Speaks plain text, or TLS.
    pub(crate) async fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (opened, streams) = channel(8);
        let (incoming, connections) = unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut pipes = JoinSet::new();
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let (near, mut far) = duplex(1 << 16);
                incoming.send(std::io::Result::Ok(near)).unwrap();
                let acceptor = tls.clone().map(TlsAcceptor::from);
                pipes.spawn(async move {
                    let _ = match acceptor {
                        None => copy_bidirectional(&mut tcp, &mut far).await,
                        Some(acceptor) => match acceptor.accept(tcp).await {
                            Ok(mut tls) => copy_bidirectional(&mut tls, &mut far).await,
                            Err(refused) => Err(refused),
                        },
                    };
                });
            }
        });
        let refusals = Refusals::default();
        let server = tonic::transport::Server::builder()
            .add_service(Server::new(Service(opened, Arc::clone(&refusals))))
            .serve_with_incoming(UnboundedReceiverStream::new(connections));
        tasks.spawn(async move { server.await.unwrap() });
        Self {
            address,
            refusals,
            streams,
            tasks,
        }
    }

    /// The next stream of a gateway.
    pub(crate) async fn stream(&mut self) -> Asked {
        timeout(SOON, self.streams.recv())
            .await
            .expect("a stream")
            .unwrap()
    }

    /// Whether a stream is opened within a moment.
    pub(crate) async fn is_asked_within(&mut self, moment: std::time::Duration) -> bool {
        timeout(moment, self.streams.recv()).await.is_ok()
    }

    /// Dies: every connection breaks, and nobody listens.
    pub(crate) async fn die(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Asked {
    /// The next request.
    pub(crate) async fn request(&mut self) -> DeltaDiscoveryRequest {
        timeout(SOON, self.requests.recv())
            .await
            .expect("a request")
            .expect("a stream")
    }

    /// Says these resources and these removals, and gives the answer.
    pub(crate) async fn say(
        &mut self,
        kind: &str,
        resources: &[(&str, Vec<u8>)],
        removed: &[&str],
    ) -> DeltaDiscoveryRequest {
        let nonce = self.nonce.fetch_add(1, Ordering::Relaxed).to_string();
        let resource = |(name, value): &(&str, Vec<u8>)| Resource {
            name: (*name).to_owned(),
            resource: Some(Any {
                type_url: kind.to_owned(),
                value: value.clone(),
            }),
            ..Default::default()
        };
        let response = DeltaDiscoveryResponse {
            type_url: kind.to_owned(),
            nonce: nonce.clone(),
            resources: resources.iter().map(resource).collect(),
            removed_resources: removed.iter().map(|&name| name.to_owned()).collect(),
            ..Default::default()
        };
        self.responses.send(Ok(response)).unwrap();
        let answer = self.request().await;
        assert_eq!(
            (answer.type_url.as_str(), &answer.response_nonce),
            (kind, &nonce)
        );
        assert!(answer.resource_names_subscribe.is_empty());
        assert!(answer.resource_names_unsubscribe.is_empty());
        answer
    }

    /// As [`Asked::say`], for what must be accepted.
    pub(crate) async fn tell<M: Message>(&mut self, kind: &str, resources: &[(&str, M)]) {
        let bytes = resources.iter().map(|(name, m)| (*name, m.encode_to_vec()));
        let bytes: Vec<_> = bytes.collect();
        let answer = self.say(kind, &bytes, &[]).await;
        assert_eq!(answer.error_detail, None);
    }

    /// A request that changes the subscription to assignments.
    pub(crate) async fn subscription(&mut self) -> (Vec<String>, Vec<String>) {
        let request = self.request().await;
        assert_eq!(request.type_url, ASSIGNMENT);
        assert_eq!(request.response_nonce, "");
        (
            request.resource_names_subscribe,
            request.resource_names_unsubscribe,
        )
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = ReceiverStream<Result<DiscoveryResponse, Status>>;
    type DeltaAggregatedResourcesStream =
        UnboundedReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("delta only"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        if let Some(refusal) = self.1.lock().unwrap().pop_front() {
            return Err(refusal);
        }
        let (to_test, requests) = unbounded_channel();
        let (responses, from_test) = unbounded_channel();
        let (metadata, _, mut stream) = request.into_parts();
        // Ends with the stream that it reads.
        tokio::spawn(async move {
            while let Ok(Some(request)) = stream.message().await {
                if to_test.send(request).is_err() {
                    return;
                }
            }
        });
        let asked = Asked {
            metadata,
            requests,
            responses,
            nonce: Arc::default(),
        };
        let gone = |_| Status::unavailable("the test is over");
        self.0.send(asked).await.map_err(gone)?;
        Ok(Response::new(UnboundedReceiverStream::new(from_test)))
    }
}
