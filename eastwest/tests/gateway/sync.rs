//! A gateway and its control plane: routes come, change and go; the plane is lost and
//! found.

use std::{net::SocketAddr, time::Duration};

use envoy_types::{
    pb::{
        envoy::{
            config::{
                cluster::v3::{
                    Cluster,
                    cluster::{ClusterDiscoveryType, DiscoveryType},
                },
                core::v3::{
                    Address, Metadata, SocketAddress, address::Address as AddressKind,
                    socket_address::PortSpecifier,
                },
                endpoint::v3::{
                    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
                    lb_endpoint::HostIdentifier,
                },
                listener::v3::{
                    Filter, FilterChain, FilterChainMatch, Listener, filter::ConfigType,
                },
            },
            extensions::filters::network::{sni_cluster::v3::SniCluster, tcp_proxy::v3::TcpProxy},
        },
        google::protobuf::{Struct, Value, value::Kind},
    },
    util::pack_any,
};
use tempfile::tempdir;

use crate::{
    control_plane::{ASSIGNMENT, Asked, CLUSTER, ControlPlane, LISTENER},
    world::*,
};

pub(crate) const OTHER: &str = "outbound_.80_._.other.sample.svc.cluster.local";

pub(crate) fn cluster(name: &str) -> (&str, Cluster) {
    let eds = ClusterDiscoveryType::Type(DiscoveryType::Eds.into());
    let cluster = Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(eds),
        ..Default::default()
    };
    (name, cluster)
}

pub(crate) fn mesh() -> (&'static str, Listener) {
    let filters = [pack_any(SniCluster {}), pack_any(TcpProxy::default())];
    let filter = |any| Filter {
        name: String::new(),
        config_type: Some(ConfigType::TypedConfig(any)),
    };
    let chain = FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            application_protocols: vec!["istio".to_owned()],
            ..Default::default()
        }),
        filters: filters.map(filter).into(),
        ..Default::default()
    };
    let listener = Listener {
        name: "mesh".to_owned(),
        filter_chains: vec![chain],
        ..Default::default()
    };
    ("mesh", listener)
}

pub(crate) fn assignment<'n>(
    name: &'n str,
    addresses: &[SocketAddr],
) -> (&'n str, ClusterLoadAssignment) {
    let tls = Value {
        kind: Some(Kind::StringValue("istio".to_owned())),
    };
    let fields = Struct {
        fields: [("tlsMode".to_owned(), tls)].into(),
    };
    let metadata = Metadata {
        filter_metadata: [("envoy.transport_socket_match".to_owned(), fields)].into(),
        ..Default::default()
    };
    let endpoint = |address: &SocketAddr| LbEndpoint {
        metadata: Some(metadata.clone()),
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address {
                address: Some(AddressKind::SocketAddress(SocketAddress {
                    address: address.ip().to_string(),
                    port_specifier: Some(PortSpecifier::PortValue(address.port().into())),
                    ..Default::default()
                })),
            }),
            ..Default::default()
        })),
        ..Default::default()
    };
    let locality = LocalityLbEndpoints {
        lb_endpoints: addresses.iter().map(endpoint).collect(),
        ..Default::default()
    };
    let assignment = ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![locality],
        ..Default::default()
    };
    (name, assignment)
}

/// A gateway of this control plane, by plain text.
fn gateway(plane: &ControlPlane) -> World {
    let xds = format!(
        "source: {{ xds: {{ address: \"{}\", plainText: true }} }}",
        plane.address
    );
    World::start(tempdir().unwrap(), &xds)
}

/// Reads the first two requests of a stream, which are the same each time.
pub(crate) async fn greet(stream: &mut Asked) {
    let first = stream.request().await;
    let id = first.node.unwrap().id;
    assert_eq!(
        id,
        "router~10.10.0.5~gw-0.istio-system~istio-system.svc.cluster.local"
    );
    assert_eq!(
        (first.type_url.as_str(), first.resource_names_subscribe),
        (CLUSTER, vec!["*".to_owned()])
    );
    let second = stream.request().await;
    assert!(second.node.is_none());
    assert_eq!(
        (second.type_url.as_str(), second.resource_names_subscribe),
        (LISTENER, vec!["*".to_owned()])
    );
}

/// Says all that makes one route.
pub(crate) async fn tell_one_route(stream: &mut Asked, address: SocketAddr) {
    greet(stream).await;
    stream.tell(CLUSTER, &[cluster(SNI)]).await;
    stream.tell(LISTENER, &[mesh()]).await;
    assert_eq!(stream.subscription().await, (vec![SNI.to_owned()], vec![]));
    stream
        .tell(ASSIGNMENT, &[assignment(SNI, &[address])])
        .await;
}

pub(crate) async fn passes(world: &World, sni: &str, listener: &tokio::net::TcpListener) {
    use tokio::io::AsyncWriteExt;
    let mut client = world.connect().await;
    client.write_all(&hello(sni)).await.unwrap();
    let (_server, arrived) = take(listener).await;
    assert_eq!(arrived, hello_of(&arrived));
}

/// What arrived is whole: its length is the one it announces.
fn hello_of(arrived: &[u8]) -> &[u8] {
    &arrived[..5 + usize::from(u16::from_be_bytes([arrived[3], arrived[4]]))]
}

pub(crate) async fn is_refused(world: &World, sni: &str, reason: &str) {
    use tokio::io::AsyncWriteExt;
    let before = world.closed(reason);
    let mut client = world.connect().await;
    client.write_all(&hello(sni)).await.unwrap();
    read_out(&mut client).await;
    world.until_closed(reason, before + 1.0).await;
}

#[tokio::test]
async fn routes_come_change_and_go() {
    let (one, at_one) = endpoint().await;
    let (two, at_two) = endpoint().await;
    let mut plane = ControlPlane::start(None).await;
    let world = gateway(&plane);
    let mut stream = plane.stream().await;
    greet(&mut stream).await;
    assert!(!world.status.ready());
    is_refused(&world, SNI, "unknown_sni").await;

    stream.tell(CLUSTER, &[cluster(SNI)]).await;
    stream.tell(LISTENER, &[mesh()]).await;
    assert_eq!(stream.subscription().await, (vec![SNI.to_owned()], vec![]));
    is_refused(&world, SNI, "no_endpoint").await;
    assert!(!world.status.ready());
    stream.tell(ASSIGNMENT, &[assignment(SNI, &[at_one])]).await;
    passes(&world, SNI, &one).await;
    assert!(world.status.ready());

    stream.tell(ASSIGNMENT, &[assignment(SNI, &[at_two])]).await;
    passes(&world, SNI, &two).await;

    stream.tell(CLUSTER, &[cluster(OTHER)]).await;
    assert_eq!(
        stream.subscription().await,
        (vec![OTHER.to_owned()], vec![])
    );
    stream
        .tell(ASSIGNMENT, &[assignment(OTHER, &[at_one])])
        .await;
    passes(&world, OTHER, &one).await;
    passes(&world, SNI, &two).await;

    let answer = stream.say(CLUSTER, &[], &[SNI]).await;
    assert_eq!(answer.error_detail, None);
    assert_eq!(stream.subscription().await, (vec![], vec![SNI.to_owned()]));
    is_refused(&world, SNI, "unknown_sni").await;
    passes(&world, OTHER, &one).await;
}

#[tokio::test]
async fn an_established_connection_outlives_its_route() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (listener, address) = endpoint().await;
    let mut plane = ControlPlane::start(None).await;
    let world = gateway(&plane);
    let mut stream = plane.stream().await;
    tell_one_route(&mut stream, address).await;
    let mut client = world.say_hello().await;
    let (mut server, _) = take(&listener).await;
    stream.say(CLUSTER, &[], &[SNI]).await;
    is_refused(&world, SNI, "unknown_sni").await;
    server.write_all(b"on").await.unwrap();
    let mut answer = [0; 2];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"on");
}

#[tokio::test]
async fn a_lost_control_plane_takes_nothing_away() {
    let (listener, address) = endpoint().await;
    let mut plane = ControlPlane::start(None).await;
    let world = gateway(&plane);
    let mut stream = plane.stream().await;
    tell_one_route(&mut stream, address).await;
    let connected = || world.metric("isthmus_eastwest_source_connected", &[]);
    eventually("in touch", || connected() == 1.0).await;
    assert_eq!(world.metric("isthmus_eastwest_table_age_seconds", &[]), 0.0);

    // Only this stream ends: the gateway comes back, and hears that nothing is left
    // but another service.
    drop(stream);
    let mut stream = plane.stream().await;
    greet(&mut stream).await;
    passes(&world, SNI, &listener).await;
    stream.tell(CLUSTER, &[cluster(OTHER)]).await;
    assert_eq!(
        stream.subscription().await,
        (vec![OTHER.to_owned()], vec![])
    );
    is_refused(&world, SNI, "unknown_sni").await;
    stream
        .tell(ASSIGNMENT, &[assignment(OTHER, &[address])])
        .await;
    passes(&world, OTHER, &listener).await;

    plane.die().await;
    eventually("out of touch", || connected() == 0.0).await;
    passes(&world, OTHER, &listener).await;
    assert!(world.status.ready());
    eventually("the routes age", || {
        world.metric("isthmus_eastwest_table_age_seconds", &[]) > 0.0
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_decoded_is_named_in_a_nack_and_the_rest_is_taken() {
    use prost::Message;
    let (listener, address) = endpoint().await;
    let mut plane = ControlPlane::start(None).await;
    let world = gateway(&plane);
    let mut stream = plane.stream().await;
    tell_one_route(&mut stream, address).await;
    let good = cluster(OTHER).1.encode_to_vec();
    let mixed = [(SNI, vec![0xff; 9]), (OTHER, good)];
    let answer = stream.say(CLUSTER, &mixed, &[]).await;
    let message = answer.error_detail.unwrap().message;
    assert!(
        message.contains(SNI) && !message.contains(OTHER),
        "{message}"
    );
    assert_eq!(
        stream.subscription().await,
        (vec![OTHER.to_owned()], vec![])
    );
    passes(&world, SNI, &listener).await;
    is_refused(&world, OTHER, "no_endpoint").await;
    let refused = ["type=\"cds\"", "result=\"refused\""];
    let refused = world.metric("isthmus_eastwest_sync_messages_total", &refused);
    assert_eq!(refused, 1.0);
}

#[tokio::test]
async fn what_is_not_understood_is_closed_and_shown() {
    let (listener, address) = endpoint().await;
    let mut plane = ControlPlane::start(None).await;
    let world = gateway(&plane);
    let mut stream = plane.stream().await;
    tell_one_route(&mut stream, address).await;
    passes(&world, SNI, &listener).await;
    let mut tls = cluster(SNI);
    tls.1.transport_socket = Some(Default::default());
    stream.tell(CLUSTER, &[tls]).await;
    is_refused(&world, SNI, "unknown_sni").await;
    eventually("it is shown", || {
        let sync = world.status.debug("sync").unwrap();
        sync["quarantine"][0]["name"] == SNI
    })
    .await;
    assert_eq!(
        world.metric("isthmus_eastwest_quarantined_resources", &[]),
        1.0
    );
}

#[tokio::test]
async fn the_control_plane_is_believed_by_its_identity() {
    let (listener, address) = endpoint().await;
    let mesh = Mesh::new();
    let mut plane = ControlPlane::start(Some(mesh.server("discovery", b"h2"))).await;
    let directory = tempdir().unwrap();
    let leaf = mesh.write_leaf("istio-system", "gateway", directory.path());
    let source = |account: &str| {
        format!(
            "source: {{ xds: {{ address: \"{}\", identity: \"spiffe://cluster.local/ns/sample/sa/{account}\", \
             tls: {{ directory: {} }} }} }}",
            plane.address,
            leaf.display()
        )
    };
    let (right, wrong) = (source("discovery"), source("impostor"));
    let cheated = World::start(tempdir().unwrap(), &wrong);
    let error = || cheated.status.debug("sync").unwrap()["lastError"].to_string();
    eventually("the refusal is told", || error().contains("discovery")).await;
    assert!(!plane.is_asked_within(Duration::from_millis(300)).await);
    drop(cheated);

    let world = World::start(directory, &right);
    let mut stream = plane.stream().await;
    tell_one_route(&mut stream, address).await;
    passes(&world, SNI, &listener).await;
}

#[tokio::test]
async fn a_certificate_that_comes_later_is_used_when_it_comes() {
    let mesh = Mesh::new();
    let mut plane = ControlPlane::start(Some(mesh.server("discovery", b"h2"))).await;
    let directory = tempdir().unwrap();
    let leaf = directory.path().join("gateway");
    let source = format!(
        "source: {{ xds: {{ address: \"{}\", identity: \"spiffe://cluster.local/ns/sample/sa/discovery\", \
         tls: {{ directory: {} }} }} }}",
        plane.address,
        leaf.display()
    );
    let world = World::start(tempdir().unwrap(), &source);
    let error = || world.status.debug("sync").unwrap()["lastError"].to_string();
    eventually("the want is told", || error().contains("source.xds.tls")).await;
    mesh.write_leaf("istio-system", "gateway", directory.path());
    greet(&mut plane.stream().await).await;
}
