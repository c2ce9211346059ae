//! The way to a discovery's delta ADS, over mTLS; it shares no code with our own xDS.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use envoy_types::pb::{
    envoy::{
        config::core::v3::Node,
        service::discovery::v3::{
            DeltaDiscoveryRequest,
            aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
        },
    },
    google::protobuf::{Struct, Value, value::Kind},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::witness;

/// Whom to ask, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Door {
    /// A leaf directory: `cert-chain.pem`, `key.pem`, `root-cert.pem`.
    #[arg(long)]
    credential: PathBuf,
    #[arg(long)]
    address: SocketAddr,
    /// The one SPIFFE id to accept.
    #[arg(long)]
    expect: String,
    /// The node id to claim.
    #[arg(long)]
    node: String,
    /// The cluster to claim in the metadata.
    #[arg(long)]
    cluster: Option<String>,
}

impl Door {
    pub(crate) async fn knock(&self) -> Result<AggregatedDiscoveryServiceClient<Channel>> {
        let config = witness::config(&self.credential, &self.expect, "h2")?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let address = self.address;
        let dial = tower::service_fn(move |_: http::Uri| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::IpAddress(address.ip().into());
                connector.connect(name, stream).await.map(TokioIo::new)
            }
        });
        let endpoint = Endpoint::from_static("http://discovery");
        let channel = endpoint.connect_with_connector(dial).await;
        let client = AggregatedDiscoveryServiceClient::new(channel.context("cannot connect")?);
        Ok(client.max_decoding_message_size(LIMIT))
    }

    /// Who says that it asks.
    pub(crate) fn node(&self) -> Node {
        let metadata = self.cluster.as_ref().map(|cluster| {
            let value = Value {
                kind: Some(Kind::StringValue(cluster.clone())),
            };
            Struct {
                fields: [("CLUSTER_ID".to_owned(), value)].into(),
            }
        });
        Node {
            id: self.node.clone(),
            metadata,
            ..Node::default()
        }
    }
}

/// A request that says nothing yet.
pub(crate) fn request(type_url: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
}

pub(crate) const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
pub(crate) const ASSIGNMENT: &str =
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
const LIMIT: usize = 64 << 20;
