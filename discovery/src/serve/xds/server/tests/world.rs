//! A server over a mesh of two clusters, and viewers that speak to it.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use envoy_types::pb::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use time::OffsetDateTime;
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Endpoint};
use trust::{
    hierarchy::{Ca, Tier, create_root},
    identity::SpiffeId,
    tls::client_config,
};

use super::*;
use crate::{
    config::GatewayAccount,
    horizon::world::endpoint,
    model::{
        Cluster, ClusterId, Export, Gateway, Locality, Service, ServiceKey, ServicePort, Shard,
    },
    serve::xds::{catalog::Ground, resource::Kind, viewer::Admission},
};

/// Two intermediates below one root.
pub(super) struct Trust {
    pub(super) c1: Ca,
    pub(super) c2: Ca,
}

/// A running server of cluster c1.
pub(super) struct World {
    pub(super) trust: Trust,
    pub(super) mesh: watch::Sender<Arc<Mesh>>,
    pub(super) audience: Arc<Audience>,
    pub(super) address: SocketAddr,
    pub(super) cancel: CancellationToken,
    pub(super) server: JoinHandle<()>,
}

/// A viewer's stream.
pub(super) struct Stream {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
    node: Option<Node>,
}

pub(super) const SIDECAR: &str = "sidecar~10.0.1.1~client.sample~sample.svc.cluster.local";
pub(super) const GATEWAY: &str = "router~10.0.1.9~gw-0.istio-system~istio-system.svc.cluster.local";

impl Trust {
    fn new() -> Self {
        let root = create_root("cluster.local", 1, DAY, OffsetDateTime::now_utc()).unwrap();
        let below = |cluster| {
            let tier = Tier::Intermediate(cluster);
            root.create_below(tier, 1, DAY, OffsetDateTime::now_utc())
                .unwrap()
        };
        Self {
            c1: below("c1"),
            c2: below("c2"),
        }
    }
}

pub(super) fn leaf(ca: &Ca, namespace: &str, account: &str) -> LiveCredential {
    let now = OffsetDateTime::now_utc();
    let leaf = ca.issue(&id(namespace, account), DAY, now).unwrap();
    LiveCredential::new(leaf.credential(now).unwrap())
}

impl World {
    pub(super) async fn start(mesh: Mesh) -> Self {
        Self::with(mesh, |_| {}).await
    }

    pub(super) async fn with(mesh: Mesh, adjust: impl FnOnce(&mut Settings)) -> Self {
        let gateway = GatewayAccount {
            namespace: "istio-system".into(),
            service_account: "gateway".into(),
        };
        let ground = Ground {
            cluster: "c1".into(),
            network: Some("n1".into()),
            domain: "cluster.local".into(),
        };
        let admission = Admission {
            cluster: "c1".into(),
            gateways: [gateway].into(),
        };
        let mut settings = Settings::new(ground, admission);
        adjust(&mut settings);
        let trust = Trust::new();
        let (mesh, watched) = watch::channel(Arc::new(mesh));
        let server = Server::new(settings, watched);
        let audience = server.audience();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = leaf(&trust.c1, "isthmus", "discovery");
        let listeners = Listeners::default().tls(listener, &own).unwrap();
        let cancel = CancellationToken::new();
        Self {
            server: tokio::spawn(server.run(listeners, cancel.clone())),
            trust,
            mesh,
            audience,
            address,
            cancel,
        }
    }

    /// A stream of a viewer with this leaf.
    pub(super) async fn connect(
        &self,
        live: &LiveCredential,
        node: &str,
    ) -> Result<Stream, String> {
        let peers = Peers::Exactly(vec![id("isthmus", "discovery")]);
        let config = client_config(live, peers, &[b"h2"]).unwrap();
        let tls = TlsConnector::from(config);
        let address = self.address;
        let connect = tower::service_fn(move |_| {
            let tls = tls.clone();
            async move {
                let tcp = TcpStream::connect(address).await?;
                let name = ServerName::try_from("discovery").unwrap();
                tls.connect(name, tcp).await.map(TokioIo::new)
            }
        });
        let channel = Endpoint::from_static("http://discovery")
            .connect_with_connector(connect)
            .await
            .map_err(|error| format!("{error:?}"))?;
        let (requests, receiver) = mpsc::channel(16);
        let responses = AggregatedDiscoveryServiceClient::new(channel)
            .delta_aggregated_resources(ReceiverStream::new(receiver))
            .await
            .map_err(|error| format!("{error:?}"))?;
        let node = Node {
            id: node.into(),
            ..Node::default()
        };
        Ok(Stream {
            requests,
            responses: responses.into_inner(),
            node: Some(node),
        })
    }

    pub(super) async fn sidecar(&self) -> Stream {
        let live = leaf(&self.trust.c1, "sample", "a0");
        self.connect(&live, SIDECAR).await.unwrap()
    }

    pub(super) async fn gateway(&self) -> Stream {
        let live = leaf(&self.trust.c1, "istio-system", "gateway");
        self.connect(&live, GATEWAY).await.unwrap()
    }
}

impl Stream {
    pub(super) async fn ask(&mut self, kind: Kind, names: &[&str]) {
        let request = DeltaDiscoveryRequest {
            node: self.node.take(),
            type_url: kind.url().into(),
            resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        self.requests.send(request).await.unwrap();
    }

    /// The next message; fails loudly when nothing comes.
    pub(super) async fn next(&mut self) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        let message = tokio::time::timeout(LONG, self.responses.message());
        message.await.expect("a message, or the end")
    }

    /// The next response, which has to be of this kind, taken.
    pub(super) async fn take(&mut self, kind: Kind) -> DeltaDiscoveryResponse {
        let response = self.next().await.unwrap().expect("a response");
        assert_eq!(response.type_url, kind.url());
        self.answer(&response, None).await;
        response
    }

    pub(super) async fn answer(&self, response: &DeltaDiscoveryResponse, refusal: Option<&str>) {
        let detail = |text: &str| envoy_types::pb::google::rpc::Status {
            message: text.into(),
            ..Default::default()
        };
        let request = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: refusal.map(detail),
            ..Default::default()
        };
        self.requests.send(request).await.unwrap();
    }
}

pub(super) fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response
        .resources
        .iter()
        .map(|resource| resource.name.as_str())
        .collect()
}

/// Two clusters in two networks; `helloworld` has one pod in c1 and `remote` in c2.
pub(super) fn mesh(export: Export, remote: u8) -> Mesh {
    let cluster = |name: &str, network: &str, gateway: u8| {
        let gateway = Gateway {
            network: network.into(),
            address: [192, 0, 2, gateway].into(),
            port: 15443,
        };
        let cluster = Cluster {
            pod_ranges: Vec::new(),
            id: name.into(),
            network: Some(network.into()),
            trust_domain: "cluster.local".parse().unwrap(),
            gateways: [gateway].into(),
        };
        (ClusterId::from(name), Arc::new(cluster))
    };
    let mut local = endpoint(0, Some("n1".into()));
    local.address = [10, 0, 1, 1].into();
    local.pod = "client".into();
    let pod = |number| {
        let mut pod = endpoint(1, Some("n2".into()));
        pod.address = [10, 0, 2, number].into();
        pod.locality = Locality {
            region: "r2".into(),
            ..Locality::default()
        };
        Arc::new(pod)
    };
    let shard = |export, endpoints| {
        Arc::new(Shard {
            export,
            headless: false,
            ports: vec![ServicePort {
                number: 80,
                name: "http".into(),
                http: true,
            }],
            endpoints,
        })
    };
    let shards: BTreeMap<ClusterId, _> = [
        ("c1".into(), shard(export, vec![Arc::new(local)])),
        (
            "c2".into(),
            shard(Export::Everyone, (1..=remote).map(pod).collect()),
        ),
    ]
    .into();
    let key = ServiceKey::new("sample", "helloworld");
    let service = Service {
        key: key.clone(),
        shards,
    };
    Mesh {
        generation: 1,
        clusters: [cluster("c1", "n1", 1), cluster("c2", "n2", 2)].into(),
        services: [(key, Arc::new(service))].into(),
        ..Mesh::default()
    }
}

fn id(namespace: &str, account: &str) -> SpiffeId {
    format!("spiffe://cluster.local/ns/{namespace}/sa/{account}")
        .parse()
        .unwrap()
}

const DAY: Duration = Duration::from_secs(86_400);
/// Longer than any machine needs.
const LONG: Duration = Duration::from_secs(60);
