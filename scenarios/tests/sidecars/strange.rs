//! A discovery that says what a sidecar does not understand.

use std::{net::IpAddr, pin::Pin};

use anyhow::{Context, Result, ensure};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
    aggregated_discovery_service_server::{
        AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
    },
};
use futures::Stream;
use scenarios::{
    probe::eventually,
    sidecar::{Sidecar, session::Kind},
};
use tokio::{io::copy_bidirectional, net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, transport::Server};
use trust::tls::{Peers, server_config};

use crate::world::{LONG, Slice, authority, bootstrap, leaf, serve_secrets};

/// What is refused is named in the answer, with the reason, and counted; the rest is taken.
pub(crate) async fn is_refused() -> Result<()> {
    let (slice, place, ca) = (Slice::take()?, tempfile::tempdir()?, authority()?);
    ca.write(&place.path().join("ca"))?;
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    serve_secrets(&place, &cancel).await?;
    let (heard, mut requests) = mpsc::channel(64);
    let discovery = leaf(&ca, "isthmus", "discovery")?;
    let tls = server_config(&discovery, Peers::SameIntermediate, &[b"h2"])?;
    let listener = TcpListener::bind(slice.discovery()).await?;
    let serving = serve(
        listener,
        TlsAcceptor::from(tls),
        Strange {
            heard,
            outbound: slice.at(2),
        },
    );
    let serving = tokio::spawn(cancel.clone().run_until_cancelled_owned(serving));

    let bootstrap = bootstrap("client", slice.at(2), &place, slice.discovery());
    let sidecar = Sidecar::start(bootstrap, cancel.clone()).await?;
    let refusal = async {
        loop {
            let request: DeltaDiscoveryRequest = requests.recv().await.context("the end")?;
            if let Some(error) = request.error_detail {
                return anyhow::Ok((request.type_url, request.response_nonce, error.message));
            }
        }
    };
    let (kind, nonce, why) = tokio::time::timeout(LONG, refusal).await??;
    ensure!(
        (kind == Kind::Listener.url(), nonce.as_str()) == (true, "1"),
        "{kind} {nonce}"
    );
    ensure!(why.starts_with("mesh: "), "{why}");
    eventually("the other is open", LONG, async || {
        let stand = sidecar.status().stand();
        ensure!(stand.refusals.get(&Kind::Listener) == Some(&1), "{stand:?}");
        let name = (Kind::Listener, "mesh".to_owned());
        ensure!(stand.refused.contains_key(&name), "{stand:?}");
        ensure!(
            stand.listeners.keys().collect::<Vec<_>>() == ["outbound"],
            "{stand:?}"
        );
        ensure!(stand.listeners["outbound"].ip() == slice.at(2), "{stand:?}");
        Ok(())
    })
    .await?;
    cancel.cancel();
    sidecar.join().await;
    serving.await?;
    Ok(())
}

/// Tells a sidecar what is for gateways.
struct Strange {
    heard: mpsc::Sender<DeltaDiscoveryRequest>,
    /// Where who asks shall take requests.
    outbound: IpAddr,
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Strange {
    type StreamAggregatedResourcesStream =
        Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        _request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("delta only"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (mut requests, heard) = (request.into_inner(), self.heard.clone());
        let outbound = self.outbound;
        let (answers, told) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                if let Some(response) = answer(&request, outbound) {
                    let _ = answers.send(Ok(response)).await;
                }
                let _ = heard.send(request).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(told)))
    }
}

/// Listeners and routes for who asks; nothing else.
fn answer(request: &DeltaDiscoveryRequest, outbound: IpAddr) -> Option<DeltaDiscoveryResponse> {
    use discovery::serve::xds::resource::{mesh_listener, no_routes, outbound_listener};
    if request.resource_names_subscribe.is_empty() {
        return None;
    }
    let resources = match &request.type_url {
        url if *url == Kind::Listener.url() => {
            vec![mesh_listener(), outbound_listener(outbound)]
        }
        url if *url == Kind::Route.url() => vec![no_routes("outbound")],
        _ => Vec::new(),
    };
    let resources = resources.iter().map(|resource| Resource {
        name: resource.name().to_string(),
        version: resource.version(),
        resource: Some(resource.to_any()),
        ..Default::default()
    });
    Some(DeltaDiscoveryResponse {
        type_url: request.type_url.clone(),
        resources: resources.collect(),
        nonce: "1".to_owned(),
        ..Default::default()
    })
}

/// Ends TLS before the gRPC server.
async fn serve(listener: TcpListener, tls: TlsAcceptor, service: Strange) {
    let (inside, connections) = mpsc::channel(1);
    let carry = async {
        while let Ok((tcp, _)) = listener.accept().await {
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            let _ = inside.send(Ok::<_, std::io::Error>(theirs)).await;
            let tls = tls.clone();
            tokio::spawn(async move {
                let (mut ours, mut stream) = (ours, tls.accept(tcp).await?);
                copy_bidirectional(&mut stream, &mut ours).await
            });
        }
    };
    let server = Server::builder()
        .add_service(AggregatedDiscoveryServiceServer::new(service))
        .serve_with_incoming(ReceiverStream::new(connections));
    let _ = tokio::join!(carry, server);
}
