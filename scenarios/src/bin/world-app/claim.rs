//! `claim`: asks a discovery for all clusters as somebody, and says what it is answered.

use anyhow::{Result, bail};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use scenarios::verdict::Verdict;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::door::{CLUSTER, Door, request};

/// Whom to ask, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    door: Door,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let mut client = args.door.knock().await?;
    // Held, so that it is the server who ends the stream.
    let (requests, queue) = mpsc::channel(1);
    let first = DeltaDiscoveryRequest {
        node: Some(args.door.node()),
        resource_names_subscribe: vec!["*".to_owned()],
        ..request(CLUSTER)
    };
    requests.send(first).await?;
    let answer = client
        .delta_aggregated_resources(ReceiverStream::new(queue))
        .await;
    let answer = match answer {
        Ok(stream) => stream.into_inner().message().await,
        Err(status) => Err(status),
    };
    let verdict = match answer {
        Ok(Some(response)) => Verdict::Told(response.resources.len()),
        Ok(None) => bail!("the stream ended without an answer"),
        Err(status) => Verdict::Refused {
            code: format!("{:?}", status.code()),
            text: status.message().to_owned(),
        },
    };
    println!("{}", serde_json::to_string(&verdict)?);
    Ok(())
}
