//! `record`: subscribes to endpoints as a sidecar does (delta ADS over mTLS) and tells each
//! that comes or goes, with the time. It shares no code with our own xDS.
//!
//! With `--reconnect` it stays when the stream ends: like an Envoy it keeps what it knows, and
//! says on the next stream which versions of it it has.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use envoy_types::pb::{
    envoy::{
        config::{
            core::v3::{Node, address::Address::SocketAddress, socket_address::PortSpecifier},
            endpoint::v3::{ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier},
        },
        service::discovery::v3::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
            aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
    },
    google::protobuf::Any,
};
use hyper_util::rt::TokioIo;
use prost::Message;
use rustls::pki_types::ServerName;
use scenarios::{
    load::micros,
    recorder::{Happening, Record},
};
use tokio::{net::TcpStream, sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::witness;

/// Whom to ask, as whom, and which clusters to record.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A leaf directory: `cert-chain.pem`, `key.pem`, `root-cert.pem`.
    #[arg(long)]
    credential: PathBuf,
    #[arg(long)]
    address: SocketAddr,
    /// The one SPIFFE id to accept.
    #[arg(long)]
    expect: String,
    #[arg(long)]
    node: String,
    /// Clusters whose name begins so.
    #[arg(long)]
    prefix: String,
    /// Connect again when the stream ends.
    #[arg(long)]
    reconnect: bool,
}

/// What is known.
struct Recorder {
    prefix: String,
    /// Endpoints by cluster.
    known: BTreeMap<String, BTreeSet<String>>,
    /// Versions of clusters and of assignments, by name.
    clusters: BTreeMap<String, String>,
    assignments: BTreeMap<String, String>,
}

/// Why a recorder stops.
enum Stop {
    /// The stream is no more.
    Lost(anyhow::Error),
    /// What it heard makes no sense.
    Nonsense(anyhow::Error),
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let mut recorder = Recorder {
        prefix: args.prefix.clone(),
        known: BTreeMap::new(),
        clusters: BTreeMap::new(),
        assignments: BTreeMap::new(),
    };
    loop {
        match recorder.listen(&args).await {
            Stop::Lost(_) if args.reconnect => sleep(PAUSE).await,
            Stop::Lost(error) | Stop::Nonsense(error) => return Err(error),
        }
    }
}

async fn connect(args: &Args) -> Result<Channel> {
    let config = witness::config(&args.credential, &args.expect, "h2")?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let address = args.address;
    let dial = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::IpAddress(address.ip().into());
            connector.connect(name, stream).await.map(TokioIo::new)
        }
    });
    let endpoint = Endpoint::from_static("http://discovery");
    endpoint
        .connect_with_connector(dial)
        .await
        .context("cannot connect")
}

impl Recorder {
    /// Lives through one stream.
    async fn listen(&mut self, args: &Args) -> Stop {
        let (requests, queue) = mpsc::channel(QUEUE);
        let opened = async {
            let client = AggregatedDiscoveryServiceClient::new(connect(args).await?);
            let mut client = client.max_decoding_message_size(LIMIT);
            for request in self.first(&args.node) {
                requests.send(request).await?;
            }
            let answer = client.delta_aggregated_resources(ReceiverStream::new(queue));
            anyhow::Ok(answer.await?.into_inner())
        };
        let mut responses = match opened.await {
            Ok(responses) => responses,
            Err(error) => return Stop::Lost(error),
        };
        loop {
            let answers = match responses.message().await {
                Ok(Some(response)) => self.take(response),
                Ok(None) => return Stop::Lost(anyhow::anyhow!("the stream has ended")),
                Err(status) => return Stop::Lost(status.into()),
            };
            match answers {
                Ok(answers) => {
                    for answer in answers {
                        // Whoever does not listen any more ends the stream, too.
                        let _ = requests.send(answer).await;
                    }
                }
                Err(error) => return Stop::Nonsense(error),
            }
        }
    }

    /// What to ask first, given what is known.
    fn first(&self, node: &str) -> Vec<DeltaDiscoveryRequest> {
        let node = Node {
            id: node.to_owned(),
            ..Node::default()
        };
        let mut first = vec![DeltaDiscoveryRequest {
            node: Some(node),
            resource_names_subscribe: vec!["*".to_owned()],
            initial_resource_versions: self.clusters.clone().into_iter().collect(),
            ..request(CLUSTER)
        }];
        if !self.known.is_empty() {
            first.push(DeltaDiscoveryRequest {
                resource_names_subscribe: self.known.keys().cloned().collect(),
                initial_resource_versions: self.assignments.clone().into_iter().collect(),
                ..request(ASSIGNMENT)
            });
        }
        first
    }

    fn take(&mut self, response: DeltaDiscoveryResponse) -> Result<Vec<DeltaDiscoveryRequest>> {
        let mut answers = vec![DeltaDiscoveryRequest {
            response_nonce: response.nonce,
            ..request(&response.type_url)
        }];
        match response.type_url.as_str() {
            CLUSTER => {
                note(
                    &mut self.clusters,
                    &response.resources,
                    &response.removed_resources,
                );
                let names = response.resources.into_iter().map(|resource| resource.name);
                answers.extend(self.clusters(names, response.removed_resources)?);
            }
            ASSIGNMENT => {
                note(
                    &mut self.assignments,
                    &response.resources,
                    &response.removed_resources,
                );
                for resource in response.resources {
                    let assignment = resource.resource.unwrap_or_default();
                    self.assigned(&resource.name, addresses(&assignment)?)?;
                }
                for name in response.removed_resources {
                    self.assigned(&name, BTreeSet::new())?;
                }
            }
            other => anyhow::bail!("never asked for {other}"),
        }
        Ok(answers)
    }

    /// A cluster that goes takes its endpoints with it, as in Envoy.
    fn clusters(
        &mut self,
        changed: impl Iterator<Item = String>,
        removed: Vec<String>,
    ) -> Result<Option<DeltaDiscoveryRequest>> {
        let ours = |name: &String| name.starts_with(&self.prefix);
        let new: Vec<String> = changed
            .filter(ours)
            .filter(|name| !self.known.contains_key(name))
            .collect();
        let gone: Vec<String> = removed.into_iter().filter(ours).collect();
        for name in &new {
            self.known.insert(name.clone(), BTreeSet::new());
        }
        for name in &gone {
            self.assigned(name, BTreeSet::new())?;
            self.known.remove(name);
            self.assignments.remove(name);
        }
        Ok(
            (!new.is_empty() || !gone.is_empty()).then(|| DeltaDiscoveryRequest {
                resource_names_subscribe: new,
                resource_names_unsubscribe: gone,
                ..request(ASSIGNMENT)
            }),
        )
    }

    fn assigned(&mut self, cluster: &str, new: BTreeSet<String>) -> Result<()> {
        let Some(known) = self.known.get_mut(cluster) else {
            return Ok(());
        };
        let at = micros(SystemTime::now());
        let tell = |address: &String, happening| {
            let record = Record {
                at,
                cluster: cluster.to_owned(),
                address: address.clone(),
                happening,
            };
            let line = serde_json::to_string(&record)?;
            writeln!(std::io::stdout(), "{line}")?;
            anyhow::Ok(())
        };
        for address in known.difference(&new) {
            tell(address, Happening::Removed)?;
        }
        for address in new.difference(known) {
            tell(address, Happening::Added)?;
        }
        *known = new;
        Ok(())
    }
}

/// Keeps the versions of what there is.
fn note(versions: &mut BTreeMap<String, String>, told: &[Resource], removed: &[String]) {
    let told = told.iter();
    versions.extend(told.map(|resource| (resource.name.clone(), resource.version.clone())));
    for name in removed {
        versions.remove(name);
    }
}

fn request(type_url: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn addresses(assignment: &Any) -> Result<BTreeSet<String>> {
    let assignment = ClusterLoadAssignment::decode(&*assignment.value)?;
    let localities = assignment.endpoints.into_iter();
    localities
        .flat_map(|locality| locality.lb_endpoints)
        .map(address)
        .collect()
}

fn address(endpoint: LbEndpoint) -> Result<String> {
    let Some(HostIdentifier::Endpoint(endpoint)) = endpoint.host_identifier else {
        anyhow::bail!("an endpoint by name");
    };
    let address = endpoint.address.and_then(|address| address.address);
    let Some(SocketAddress(socket)) = address else {
        anyhow::bail!("an endpoint without a socket address");
    };
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else {
        anyhow::bail!("an endpoint without a port");
    };
    Ok(format!("{}:{port}", socket.address))
}

const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const ASSIGNMENT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const LIMIT: usize = 64 << 20;
/// Between two streams.
const PAUSE: Duration = Duration::from_millis(50);
/// Requests that may wait; each response leads to two at most.
const QUEUE: usize = 64;
