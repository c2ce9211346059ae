mod world;

use envoy_types::pb::envoy::{
    config::{
        core::v3::address::Address,
        endpoint::v3::{ClusterLoadAssignment, LbEndpoint, lb_endpoint::HostIdentifier},
    },
    service::discovery::v3::DeltaDiscoveryResponse,
};
use prost::Message;
use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpStream};

use self::world::{GATEWAY, SIDECAR, World, leaf, mesh, names};
use super::*;
use crate::{
    model::Export,
    serve::xds::{
        audience::Dropped,
        resource::Kind::{Assignment, Cluster, Listener, Route},
    },
};

const SNI: &str = "outbound_.80_._.helloworld.sample.svc.cluster.local";
const OUTBOUND: &str = "outbound|80||helloworld.sample.svc.cluster.local";

/// Addresses and weights of an assignment.
fn targets(response: &DeltaDiscoveryResponse) -> Vec<(String, u32)> {
    let any = response.resources[0].resource.as_ref().unwrap();
    let assignment = ClusterLoadAssignment::decode(any.value.as_slice()).unwrap();
    let endpoints = assignment
        .endpoints
        .iter()
        .flat_map(|group| &group.lb_endpoints);
    let target = |endpoint: &LbEndpoint| {
        let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else {
            panic!("no endpoint");
        };
        let address = host
            .address
            .as_ref()
            .and_then(|address| address.address.clone());
        let Some(Address::SocketAddress(socket)) = address else {
            panic!("no socket address");
        };
        let weight = endpoint.load_balancing_weight.as_ref().unwrap().value;
        (socket.address, weight)
    };
    endpoints.map(target).collect()
}

#[tokio::test]
async fn a_gateway_is_told_of_exports_of_its_own_cluster() {
    let world = World::start(mesh(Export::Everyone, 3)).await;
    let mut stream = world.gateway().await;
    stream.ask(Cluster, &["*"]).await;
    assert_eq!(names(&stream.take(Cluster).await), [SNI]);
    stream.ask(Listener, &[]).await;
    assert_eq!(names(&stream.take(Listener).await), ["mesh"]);
    stream.ask(Assignment, &[SNI]).await;
    let assignment = stream.take(Assignment).await;
    assert_eq!(targets(&assignment), [("10.0.1.1".to_owned(), 1)]);

    world.mesh.send_replace(Arc::new(mesh(Export::Closed, 3)));
    let removal = stream.take(Cluster).await;
    assert_eq!(removal.removed_resources, [SNI]);
    let emptied = stream.take(Assignment).await;
    assert!(targets(&emptied).is_empty());
}

#[tokio::test]
async fn a_sidecar_is_told_of_both_networks_and_its_own_ports() {
    let world = World::start(mesh(Export::Closed, 3)).await;
    let mut stream = world.sidecar().await;
    stream.ask(Cluster, &[]).await;
    let clusters = stream.take(Cluster).await;
    assert_eq!(names(&clusters), ["inbound|5000||", OUTBOUND]);
    stream.ask(Assignment, &[OUTBOUND, "unknown"]).await;
    let assignments = stream.take(Assignment).await;
    assert_eq!(names(&assignments), [OUTBOUND, "unknown"]);
    let expected = [("10.0.1.1".to_owned(), 1), ("192.0.2.2".to_owned(), 3)];
    assert_eq!(targets(&assignments), expected);
    stream.ask(Listener, &[]).await;
    let listeners = stream.take(Listener).await;
    assert_eq!(names(&listeners), ["inbound_10.0.1.1_5000", "outbound"]);
    stream.ask(Route, &["outbound"]).await;
    assert_eq!(names(&stream.take(Route).await), ["outbound"]);

    world.mesh.send_replace(Arc::new(mesh(Export::Closed, 5)));
    let change = stream.take(Assignment).await;
    assert_eq!(targets(&change)[1], ("192.0.2.2".to_owned(), 5));
}

#[tokio::test]
async fn a_pod_of_another_identity_gets_no_inbound_listener() {
    let world = World::start(mesh(Export::Closed, 1)).await;
    let live = leaf(&world.trust.c1, "sample", "somebody-else");
    let mut stream = world.connect(&live, SIDECAR).await.unwrap();
    stream.ask(Listener, &[]).await;
    assert_eq!(names(&stream.take(Listener).await), ["outbound"]);
}

#[tokio::test]
async fn who_may_not_ask_is_refused_with_a_reason() {
    let world = World::start(mesh(Export::Everyone, 1)).await;
    let cases = [
        ("other", "a0", SIDECAR, "namespace `sample`"),
        (
            "istio-system",
            "default",
            GATEWAY,
            "not listed as a gateway",
        ),
    ];
    for (namespace, account, node, text) in cases {
        let live = leaf(&world.trust.c1, namespace, account);
        let mut stream = world.connect(&live, node).await.unwrap();
        stream.ask(Cluster, &[]).await;
        let status = stream.next().await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
        assert!(status.message().contains(text), "{status}");
    }
}

#[tokio::test]
async fn a_leaf_of_another_intermediate_is_no_peer() {
    let world = World::start(mesh(Export::Everyone, 1)).await;
    let live = leaf(&world.trust.c2, "sample", "a0");
    let outcome = world.connect(&live, SIDECAR).await;
    assert!(outcome.is_err(), "the handshake fails, not the stream");
    // The server counts after it has sent its alert.
    while world.audience.counters.drops(Dropped::HandshakeFailed) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nobody_is_told_that_there_is_nothing_before_anything_is_known() {
    let world = World::start(Mesh::default()).await;
    let mut stream = world.gateway().await;
    stream.ask(Cluster, &[]).await;
    // The only thread is here: who is seated has done all that it can do now.
    while world.audience.debug()["viewers"] == json!([]) {
        tokio::task::yield_now().await;
    }
    world.mesh.send_replace(Arc::new(mesh(Export::Everyone, 1)));
    assert_eq!(names(&stream.take(Cluster).await), [SNI]);
}

#[tokio::test]
async fn a_viewer_that_does_not_answer_gets_the_newest_state_later() {
    let world = World::start(mesh(Export::Closed, 1)).await;
    let mut stream = world.sidecar().await;
    stream.ask(Assignment, &[OUTBOUND]).await;
    let first = stream.next().await.unwrap().unwrap();
    let mut other = world.sidecar().await;
    other.ask(Assignment, &[OUTBOUND]).await;
    other.take(Assignment).await;
    for remote in 2..50 {
        world
            .mesh
            .send_replace(Arc::new(mesh(Export::Closed, remote)));
        assert_eq!(
            targets(&other.take(Assignment).await)[1].1,
            u32::from(remote)
        );
    }
    stream.answer(&first, None).await;
    assert_eq!(targets(&stream.take(Assignment).await)[1].1, 49);
}

#[tokio::test]
async fn a_refusal_of_a_viewer_is_shown_and_stops_nothing_else() {
    let world = World::start(mesh(Export::Closed, 1)).await;
    let mut stream = world.sidecar().await;
    stream.ask(Cluster, &[]).await;
    let clusters = stream.next().await.unwrap().unwrap();
    stream.answer(&clusters, Some("no such filter")).await;
    // Both come again by themselves, to find out which it is.
    for name in names(&clusters) {
        let again = stream.next().await.unwrap().unwrap();
        assert_eq!(names(&again), [name]);
        stream.answer(&again, Some("no such filter")).await;
    }
    stream.ask(Listener, &[]).await;
    stream.take(Listener).await;
    let debug = world.audience.debug();
    let viewer = &debug["viewers"][0];
    assert_eq!(viewer["node"], SIDECAR);
    assert_eq!(viewer["identity"], "spiffe://cluster.local/ns/sample/sa/a0");
    assert_eq!(viewer["types"]["CDS"]["lastNack"], "no such filter");
    assert_eq!(viewer["types"]["CDS"]["acked"], "");
    assert_eq!(viewer["types"]["CDS"]["refused"], json!(names(&clusters)));
    let rejects = world.audience.series().into_iter().find(|series| {
        series.name == "isthmus_discovery_xds_rejects_total"
            && series.labels.contains(&("type", "CDS"))
    });
    assert_eq!(rejects.unwrap().value, 3);
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let world = World::start(mesh(Export::Closed, 1)).await;
    let mut stream = world.sidecar().await;
    stream.ask(Cluster, &[]).await;
    stream.take(Cluster).await;
    world.cancel.cancel();
    assert!(stream.next().await.unwrap().is_none());
    world.server.await.unwrap();
    assert!(
        world.audience.debug()["viewers"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn who_says_nothing_is_closed_and_keeps_nobody_out() {
    let world = World::with(mesh(Export::Closed, 1), |settings| {
        settings.limits.handshake = Duration::from_millis(200);
        settings.limits.handshakes = 2;
    })
    .await;
    let mut silent = TcpStream::connect(world.address).await.unwrap();
    world.sidecar().await;
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(world.audience.counters.drops(Dropped::HandshakeTimeout), 1);
}

#[tokio::test]
async fn the_newest_handshake_over_the_limit_is_closed() {
    let world = World::with(mesh(Export::Closed, 1), |settings| {
        settings.limits.handshakes = 1;
    })
    .await;
    let _waiting = TcpStream::connect(world.address).await.unwrap();
    let mut newest = TcpStream::connect(world.address).await.unwrap();
    assert_eq!(newest.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(world.audience.counters.drops(Dropped::TooManyHandshakes), 1);
}

#[tokio::test]
async fn the_newest_viewer_over_the_limit_is_refused() {
    let world = World::with(mesh(Export::Closed, 1), |settings| {
        settings.limits.viewers = 1;
    })
    .await;
    let mut first = world.sidecar().await;
    first.ask(Cluster, &[]).await;
    first.take(Cluster).await;
    let mut second = world.sidecar().await;
    second.ask(Cluster, &[]).await;
    let status = second.next().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
}

#[tokio::test]
async fn plain_text_is_for_loopback_only() {
    let outside = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = Listeners::default().plain_text(outside);
    assert!(matches!(refused, Err(Unusable::NotLoopback(_))));
}
