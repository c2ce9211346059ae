//! `record`: subscribes to endpoints as a sidecar does (delta ADS over mTLS) and tells each
//! that comes or goes, with the time. It shares no code with our own xDS.
//!
//! With `--reconnect` it stays when the stream ends: like an Envoy it keeps what it knows, and
//! says on the next stream which versions of it it has.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use envoy_types::pb::{
    envoy::{
        config::{
            core::v3::{address::Address::SocketAddress, socket_address::PortSpecifier},
            endpoint::v3::{ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier},
        },
        service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource},
    },
    google::{protobuf::Any, rpc::Status},
};
use prost::Message;
use scenarios::{
    load::micros,
    recorder::{Happening, Line, Received, Record},
};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;

use crate::door::{ASSIGNMENT, CLUSTER, Door, request};

/// Whom to ask, and which clusters to record.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    door: Door,
    /// Clusters whose name begins so.
    #[arg(long)]
    prefix: String,
    /// Connect again when the stream ends.
    #[arg(long)]
    reconnect: bool,
    /// A cluster: every response with its endpoints is refused as a whole.
    #[arg(long, requires = "because")]
    refuse: Option<String>,
    /// What is said then.
    #[arg(long)]
    because: Option<String>,
}

/// What is known.
struct Recorder {
    prefix: String,
    refuse: Option<(String, String)>,
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
        prefix: args.prefix,
        refuse: args.refuse.zip(args.because),
        known: BTreeMap::new(),
        clusters: BTreeMap::new(),
        assignments: BTreeMap::new(),
    };
    loop {
        match recorder.listen(&args.door).await {
            Stop::Lost(_) if args.reconnect => sleep(PAUSE).await,
            Stop::Lost(error) | Stop::Nonsense(error) => return Err(error),
        }
    }
}

impl Recorder {
    /// Lives through one stream.
    async fn listen(&mut self, door: &Door) -> Stop {
        let (requests, queue) = mpsc::channel(QUEUE);
        let opened = async {
            let mut client = door.knock().await?;
            for request in self.first(door) {
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
    fn first(&self, door: &Door) -> Vec<DeltaDiscoveryRequest> {
        let mut first = vec![DeltaDiscoveryRequest {
            node: Some(door.node()),
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

    /// Tells what a response means; what to answer, and to ask for.
    fn take(&mut self, response: DeltaDiscoveryResponse) -> Result<Vec<DeltaDiscoveryRequest>> {
        let refusal = self.refusal(&response);
        let received = Received {
            at: micros(SystemTime::now()),
            kind: response.type_url.clone(),
            resources: response.resources.len(),
            removed: response.removed_resources.len(),
            bytes: response.encoded_len(),
            refused: refusal.as_ref().map(|(version, _)| version.clone()),
        };
        tell(&Line::Response(received))?;
        let is_refused = refusal.is_some();
        let mut answers = vec![DeltaDiscoveryRequest {
            response_nonce: response.nonce.clone(),
            error_detail: refusal.map(|(_, status)| status),
            ..request(&response.type_url)
        }];
        if !is_refused {
            answers.extend(self.believe(response)?);
        }
        Ok(answers)
    }

    /// The version that is refused, and the answer to it.
    fn refusal(&self, response: &DeltaDiscoveryResponse) -> Option<(String, Status)> {
        let (cluster, because) = self.refuse.as_ref()?;
        let refused = |resource: &&Resource| resource.name == *cluster;
        let resource = response.resources.iter().find(refused)?;
        let status = Status {
            code: tonic::Code::InvalidArgument.into(),
            message: because.clone(),
            ..Status::default()
        };
        (response.type_url == ASSIGNMENT).then(|| (resource.version.clone(), status))
    }

    /// Takes a response in; what to ask for in consequence.
    fn believe(
        &mut self,
        response: DeltaDiscoveryResponse,
    ) -> Result<Option<DeltaDiscoveryRequest>> {
        let (told, removed) = (response.resources, response.removed_resources);
        match response.type_url.as_str() {
            CLUSTER => {
                note(&mut self.clusters, &told, &removed);
                self.clusters(told.into_iter().map(|resource| resource.name), removed)
            }
            ASSIGNMENT => {
                note(&mut self.assignments, &told, &removed);
                for resource in told {
                    let assignment = resource.resource.unwrap_or_default();
                    self.assigned(&resource.name, addresses(&assignment)?)?;
                }
                for name in removed {
                    self.assigned(&name, BTreeSet::new())?;
                }
                Ok(None)
            }
            other => anyhow::bail!("never asked for {other}"),
        }
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
        let say = |address: &String, happening| {
            tell(&Line::Endpoint(Record {
                at,
                cluster: cluster.to_owned(),
                address: address.clone(),
                happening,
            }))
        };
        for address in known.difference(&new) {
            say(address, Happening::Removed)?;
        }
        for address in new.difference(known) {
            say(address, Happening::Added)?;
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

fn tell(line: &Line) -> Result<()> {
    writeln!(std::io::stdout(), "{}", serde_json::to_string(line)?)?;
    Ok(())
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

/// Between two streams.
const PAUSE: Duration = Duration::from_millis(50);
/// Requests that may wait; each response leads to two at most.
const QUEUE: usize = 64;
