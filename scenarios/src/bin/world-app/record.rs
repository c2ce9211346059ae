//! `record`: subscribes to endpoints as a sidecar does (delta ADS over mTLS) and tells each
//! that comes or goes, with the time. It shares no code with our own xDS.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    time::SystemTime,
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
use tokio::sync::mpsc;
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
    /// A cluster: every response with its endpoints is refused as a whole.
    #[arg(long, requires = "because")]
    refuse: Option<String>,
    /// What is said then.
    #[arg(long)]
    because: Option<String>,
}

/// What is known, by cluster.
struct Recorder {
    prefix: String,
    refuse: Option<(String, String)>,
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    known: BTreeMap<String, BTreeSet<String>>,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let mut client = args.door.knock().await?;
    let (requests, queue) = mpsc::channel(QUEUE);
    let mut recorder = Recorder {
        prefix: args.prefix,
        refuse: args.refuse.zip(args.because),
        requests,
        known: BTreeMap::new(),
    };
    let first = DeltaDiscoveryRequest {
        node: Some(args.door.node()),
        resource_names_subscribe: vec!["*".to_owned()],
        ..request(CLUSTER)
    };
    recorder.requests.send(first).await?;
    let answer = client.delta_aggregated_resources(ReceiverStream::new(queue));
    let mut responses = answer.await?.into_inner();
    while let Some(response) = responses.message().await? {
        recorder.take(response).await?;
    }
    anyhow::bail!("the stream has ended")
}

impl Recorder {
    async fn take(&mut self, response: DeltaDiscoveryResponse) -> Result<()> {
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
        let answer = DeltaDiscoveryRequest {
            response_nonce: response.nonce.clone(),
            error_detail: refusal.map(|(_, status)| status),
            ..request(&response.type_url)
        };
        let refused = answer.error_detail.is_some();
        self.requests.send(answer).await?;
        if refused {
            return Ok(());
        }
        self.believe(response).await
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

    async fn believe(&mut self, response: DeltaDiscoveryResponse) -> Result<()> {
        let mut answer = None;
        match response.type_url.as_str() {
            CLUSTER => {
                let names = response.resources.into_iter().map(|resource| resource.name);
                answer = self.clusters(names, response.removed_resources)?;
            }
            ASSIGNMENT => {
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
        if let Some(answer) = answer {
            self.requests.send(answer).await?;
        }
        Ok(())
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

/// Requests that may wait; each response leads to two at most.
const QUEUE: usize = 64;
