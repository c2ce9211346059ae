//! A gateway and an istiod in its own shape: listeners that it opens, a chain for each
//! route, and what an istiod may do to it.

use std::{
    fs,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use envoy_types::{
    pb::envoy::{
        config::{
            core::v3::{
                Address, SocketAddress, address::Address as AddressKind,
                socket_address::PortSpecifier,
            },
            listener::v3::{Filter, FilterChain, FilterChainMatch, Listener, filter::ConfigType},
        },
        extensions::filters::network::{
            rbac::v3::Rbac,
            tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier},
        },
    },
    util::pack_any,
};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::json;
use tempfile::tempdir;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::Status;

use crate::{
    control_plane::{ASSIGNMENT, Asked, CLUSTER, ControlPlane, LISTENER},
    sync::{assignment, cluster, greet},
    world::*,
};

const PLAIN: &str = "outbound|15012||istiod.istio-system.svc.cluster.local";

/// A chain that leads to a cluster.
fn chain(names: &[&str], alpn: &[&str], to: &str) -> FilterChain {
    let own = |all: &[&str]| all.iter().map(|&text| text.to_owned()).collect();
    let proxy = TcpProxy {
        cluster_specifier: Some(ClusterSpecifier::Cluster(to.to_owned())),
        ..Default::default()
    };
    FilterChain {
        filter_chain_match: (!names.is_empty()).then(|| FilterChainMatch {
            server_names: own(names),
            application_protocols: own(alpn),
            ..Default::default()
        }),
        filters: vec![filter(pack_any(proxy))],
        ..Default::default()
    }
}

fn filter(any: envoy_types::pb::google::protobuf::Any) -> Filter {
    Filter {
        config_type: Some(ConfigType::TypedConfig(any)),
        ..Default::default()
    }
}

fn listener(at: SocketAddr, chains: Vec<FilterChain>) -> (String, Listener) {
    let socket = SocketAddress {
        address: at.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(at.port().into())),
        ..Default::default()
    };
    let name = format!("{}_{}", at.ip(), at.port());
    let listener = Listener {
        name: name.clone(),
        address: Some(Address {
            address: Some(AddressKind::SocketAddress(socket)),
        }),
        filter_chains: chains,
        ..Default::default()
    };
    (name, listener)
}

fn mesh_chain(sni: &str) -> FilterChain {
    chain(&[sni], &["istio"], sni)
}

/// A gateway of this istiod, by plain text; `more` is YAML for the source.
fn gateway(plane: &ControlPlane, more: &str, settings: &str) -> World {
    let address = plane.address;
    let source =
        format!("source: {{ istiod: {{ address: \"{address}\", plainText: true, {more} }} }}\n");
    World::start(tempdir().unwrap(), &format!("{source}{settings}"))
}

/// Says listeners, and gives the refusal, if any.
async fn listen(stream: &mut Asked, listeners: &[(String, Listener)]) -> Option<String> {
    let bytes = listeners
        .iter()
        .map(|(name, l)| (name.as_str(), l.encode_to_vec()));
    let bytes: Vec<_> = bytes.collect();
    let answer = stream.say(LISTENER, &bytes, &[]).await;
    answer.error_detail.map(|status| status.message)
}

/// A gateway that carries, and all that it has to do with.
struct Served {
    backend: tokio::net::TcpListener,
    at: SocketAddr,
    plane: ControlPlane,
    world: World,
    stream: Asked,
}

/// A gateway that an istiod has told one route; `more` is YAML for the source.
async fn served(more: &str) -> Served {
    let (backend, endpoint) = endpoint().await;
    let at = nobody().await;
    let mut plane = ControlPlane::start(None).await;
    let world = gateway(&plane, more, "");
    let mut stream = plane.stream().await;
    greet(&mut stream).await;
    tell(&mut stream, at, endpoint).await;
    reaches(at, &hello(SNI), &backend).await;
    Served {
        backend,
        at,
        plane,
        world,
        stream,
    }
}

/// Says one route of one listener, with its endpoint.
async fn tell(stream: &mut Asked, at: SocketAddr, endpoint: SocketAddr) {
    stream.tell(CLUSTER, &[cluster(SNI), cluster(PLAIN)]).await;
    let mesh = listener(at, vec![mesh_chain(SNI)]);
    assert_eq!(listen(stream, &[mesh]).await, None);
    assert_eq!(stream.subscription().await, (vec![SNI.to_owned()], vec![]));
    stream
        .tell(ASSIGNMENT, &[assignment(SNI, &[endpoint])])
        .await;
}

async fn connect(at: SocketAddr, hello: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(at).await.unwrap();
    client.write_all(hello).await.unwrap();
    client
}

async fn reaches(at: SocketAddr, hello: &[u8], listener: &tokio::net::TcpListener) {
    let _client = connect(at, hello).await;
    take(listener).await;
}

async fn is_closed(world: &World, at: SocketAddr, hello: &[u8], reason: &str) {
    let before = world.closed(reason);
    let mut client = connect(at, hello).await;
    read_out(&mut client).await;
    world.until_closed(reason, before + 1.0).await;
}

#[tokio::test]
async fn it_listens_where_the_istiod_says_and_asks_only_for_what_a_chain_uses() {
    let (backend, endpoint) = endpoint().await;
    let (at, other) = (nobody().await, nobody().await);
    let mut plane = ControlPlane::start(None).await;
    let world = gateway(&plane, "", "");
    let mut stream = plane.stream().await;
    greet(&mut stream).await;
    assert!(TcpStream::connect(at).await.is_err());
    tell(&mut stream, at, endpoint).await;
    reaches(at, &hello(SNI), &backend).await;
    assert!(world.status.ready());

    // Another listener, and the first one gone: its clients stay.
    let open = connect(at, &hello(SNI)).await;
    let (mut server, _) = take(&backend).await;
    let moved = listener(other, vec![mesh_chain(SNI)]);
    assert_eq!(listen(&mut stream, &[moved]).await, None);
    stream.say(LISTENER, &[], &[&listener(at, vec![]).0]).await;
    reaches(other, &hello(SNI), &backend).await;
    eventually("the old port is closed", || {
        std::net::TcpStream::connect(at).is_err()
    })
    .await;
    server.write_all(b"on").await.unwrap();
    let mut answer = [0; 2];
    let mut open = open;
    tokio::io::AsyncReadExt::read_exact(&mut open, &mut answer)
        .await
        .unwrap();
    assert_eq!(&answer, b"on");
}

#[tokio::test]
async fn a_chain_for_any_name_carries_only_the_names_of_the_own_list() {
    let (backend, endpoint) = endpoint().await;
    let at = nobody().await;
    let mut plane = ControlPlane::start(None).await;
    let world = gateway(&plane, "", "");
    let mut stream = plane.stream().await;
    greet(&mut stream).await;
    stream.tell(CLUSTER, &[cluster(PLAIN)]).await;
    let any = listener(at, vec![chain(&[], &[], PLAIN)]);
    assert_eq!(listen(&mut stream, &[any]).await, None);
    stream.subscription().await;
    stream
        .tell(ASSIGNMENT, &[assignment(PLAIN, &[endpoint])])
        .await;

    for name in [
        "istiod.istio-system.svc",
        "istiod-1-30.istio-system.svc.cluster.local",
    ] {
        reaches(at, &hello_with(Some(name), &[b"h2"]), &backend).await;
        reaches(at, &hello_with(Some(name), &[]), &backend).await;
    }
    for name in [SNI, "kubernetes.default.svc", "istiod.other.svc"] {
        is_closed(&world, at, &hello(name), "name_not_listed").await;
    }
    is_closed(&world, at, &hello_with(None, &[b"h2"]), "no_sni").await;
    is_closed(&world, at, b"GET / HTTP/1.1\r\n\r\n", "not_tls").await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_in_a_nack_and_hinders_no_other() {
    let (backend, endpoint) = endpoint().await;
    let (at, mut plane) = (nobody().await, ControlPlane::start(None).await);
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let world = gateway(&plane, "", "");
    let mut stream = plane.stream().await;
    greet(&mut stream).await;
    stream.tell(CLUSTER, &[cluster(SNI)]).await;
    let both = [
        listener(taken, vec![mesh_chain(SNI)]),
        listener(at, vec![mesh_chain(SNI)]),
    ];
    let refusal = listen(&mut stream, &both).await.unwrap();
    assert!(
        refusal.contains(&format!("cannot listen on {taken}")),
        "{refusal}"
    );
    assert!(!refusal.contains(&at.to_string()), "{refusal}");
    stream.subscription().await;
    stream
        .tell(ASSIGNMENT, &[assignment(SNI, &[endpoint])])
        .await;
    reaches(at, &hello(SNI), &backend).await;
    let missing = || world.status.debug("sync").unwrap()["notListening"].clone();
    let why = missing()[&both[0].0].to_string();
    assert!(why.contains("cannot listen on"), "{why}");
    // Nobody says it again.
    drop(holder);
    eventually("it listens there, too", || missing() == json!({})).await;
    reaches(taken, &hello(SNI), &backend).await;
}

#[tokio::test]
async fn an_access_rule_closes_its_chain_and_no_other() {
    let (backend, endpoint) = endpoint().await;
    let at = nobody().await;
    let mut plane = ControlPlane::start(None).await;
    let world = gateway(&plane, "", "");
    let mut stream = plane.stream().await;
    greet(&mut stream).await;
    tell(&mut stream, at, endpoint).await;
    let other = "outbound_.80_._.other.sample.svc.cluster.local";
    let mut ruled = chain(&[other], &["istio"], SNI);
    ruled.filters.insert(0, filter(pack_any(Rbac::default())));
    let both = listener(at, vec![ruled, mesh_chain(SNI)]);
    assert_eq!(listen(&mut stream, &[both]).await, None);
    is_closed(&world, at, &hello(other), "quarantined").await;
    reaches(at, &hello(SNI), &backend).await;
    let quarantine = world.status.debug("quarantine").unwrap();
    let shown = quarantine["quarantine"][0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(shown.ends_with(other), "{quarantine}");
    let flagged = ["response_flags=\"NR\""];
    assert_eq!(
        world.metric("istio_tcp_connections_closed_total", &flagged),
        1.0
    );
}

#[tokio::test]
async fn an_istiod_that_comes_back_with_nothing_is_believed_after_its_time() {
    let Served {
        backend,
        at,
        mut plane,
        world,
        stream,
    } = served("hold: 700ms").await;
    drop(stream);

    let mut stream = plane.stream().await;
    let first = stream.request().await;
    assert!(first.initial_resource_versions.contains_key(SNI));
    let second = stream.request().await;
    assert_eq!(second.initial_resource_versions.len(), 1);
    stream.say(CLUSTER, &[], &[SNI, PLAIN]).await;
    assert_eq!(listen(&mut stream, &[]).await, None);
    reaches(at, &hello(SNI), &backend).await;
    assert_eq!(world.status.debug("sync").unwrap()["held"], 1);
    eventually("it is believed", || {
        std::net::TcpStream::connect(at).is_err()
    })
    .await;
    assert_eq!(world.status.debug("sync").unwrap()["held"], 0);
}

/// istiod sends a plain cluster for each service, of which nearly none is used: only names
/// are kept, and on a change istiod would not say such a cluster again by itself.
#[tokio::test]
async fn a_chain_to_a_cluster_that_was_let_go_has_it_said_again() {
    let Served {
        backend,
        at,
        plane: _plane,
        world: _world,
        mut stream,
    } = served("").await;
    let endpoint = backend.local_addr().unwrap();
    let exposed = chain(&["istiod.example"], &[], PLAIN);
    let both = listener(at, vec![mesh_chain(SNI), exposed]);
    assert_eq!(listen(&mut stream, &[both]).await, None);
    let again = stream.request().await;
    assert_eq!(again.type_url, CLUSTER);
    assert_eq!(again.resource_names_subscribe, ["*"]);
    assert_eq!(again.response_nonce, "");
    stream.tell(CLUSTER, &[cluster(SNI), cluster(PLAIN)]).await;
    assert_eq!(
        stream.subscription().await,
        (vec![PLAIN.to_owned()], vec![])
    );
    stream
        .tell(ASSIGNMENT, &[assignment(PLAIN, &[endpoint])])
        .await;
    reaches(at, &hello_with(Some("istiod.example"), &[]), &backend).await;
}

/// As istiod refuses: while it is not ready, and when too many come at once
/// (istio-eastwest.md §1.1).
#[tokio::test]
async fn an_istiod_that_refuses_takes_nothing_away_and_is_asked_again() {
    let Served {
        backend,
        at,
        mut plane,
        world,
        stream,
    } = served("").await;
    plane.refusals.lock().unwrap().extend([
        Status::unavailable("not ready"),
        Status::unknown("server is not ready"),
        Status::resource_exhausted("request rate limit exceeded"),
        Status::unauthenticated("authentication failure"),
    ]);
    let cut = Instant::now();
    drop(stream);
    let error = || world.status.debug("sync").unwrap()["lastError"].to_string();
    eventually("the last refusal is told", || {
        error().contains("authentication failure")
    })
    .await;
    reaches(at, &hello(SNI), &backend).await;
    assert!(world.status.ready());
    let mut stream = plane.stream().await;
    // Waits of at least 50, 100, 200, 400 and 800 ms, less what a millisecond's clock rounds.
    assert!(
        cut.elapsed() >= Duration::from_millis(1_540),
        "{:?}",
        cut.elapsed()
    );
    stream.request().await;
    stream.request().await;
    let held = || world.status.debug("sync").unwrap()["held"] == 1;
    eventually("the route is held", held).await;
    reaches(at, &hello(SNI), &backend).await;
}

#[tokio::test]
async fn a_restart_without_its_istiod_listens_and_serves_at_once() {
    let (backend, endpoint) = endpoint().await;
    let at = nobody().await;
    let directory = tempdir().unwrap();
    let state = format!(
        "state: {{ directory: {}, every: 20ms }}\n",
        directory.path().display()
    );
    let mut plane = ControlPlane::start(None).await;
    let world = gateway(&plane, "", &state);
    let mut stream = plane.stream().await;
    greet(&mut stream).await;
    tell(&mut stream, at, endpoint).await;
    let kept = || fs::read_to_string(directory.path().join("table")).unwrap_or_default();
    eventually("it is kept", || kept().contains(&endpoint.to_string())).await;
    drop(stream);
    plane.die().await;
    world.end().await;
    // As if the one before it had not ended yet.
    let holder = std::net::TcpListener::bind(at).unwrap();

    let nobody = nobody().await;
    let source = format!("source: {{ istiod: {{ address: \"{nobody}\", plainText: true }} }}\n");
    let settings = format!("{source}{state}");
    let world = World::start(tempdir().unwrap(), &settings);
    assert!(world.status.ready());
    drop(holder);
    eventually("it listens", || std::net::TcpStream::connect(at).is_ok()).await;
    reaches(at, &hello(SNI), &backend).await;
    assert_eq!(world.status.debug("sync").unwrap()["remembered"], true);
}

/// A root in PEM, and the settings of a server whose certificate, below it, is for a name.
fn named_server(name: &str) -> (String, Arc<ServerConfig>) {
    let mut of_root = CertificateParams::new([]).unwrap();
    of_root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(of_root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([name.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &root).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::from(key))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (root.pem(), Arc::new(config))
}

#[tokio::test]
async fn token_and_root_are_read_for_every_connection() {
    let directory = tempdir().unwrap();
    let (pem, server) = named_server("istiod.istio-system.svc");
    let mut plane = ControlPlane::start(Some(server)).await;
    let (token, root) = (
        directory.path().join("token"),
        directory.path().join("root.pem"),
    );
    let source = format!(
        "source: {{ istiod: {{ address: \"{}\", serverName: istiod.istio-system.svc, token: {}, \
         root: {}, headers: {{ X-Tenant: a }} }} }}\n",
        plane.address,
        token.display(),
        root.display()
    );
    let world = World::start(tempdir().unwrap(), &source);
    let error = || world.status.debug("sync").unwrap()["lastError"].to_string();
    eventually("the root is missed", || {
        error().contains("source.istiod.root")
    })
    .await;
    fs::write(&root, pem).unwrap();
    eventually("the token is missed", || {
        error().contains("source.istiod.token")
    })
    .await;
    fs::write(&token, "first\n").unwrap();
    let stream = plane.stream().await;
    let said = |stream: &Asked, key: &str| {
        stream
            .metadata
            .get(key)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(said(&stream, "authorization"), "Bearer first");
    assert_eq!(said(&stream, "clusterid"), "c1");
    assert_eq!(said(&stream, "x-tenant"), "a");
    fs::write(&token, "second").unwrap();
    drop(stream);
    assert_eq!(
        said(&plane.stream().await, "authorization"),
        "Bearer second"
    );
    // An istiod of another root is not spoken to.
    fs::write(&root, named_server("istiod.istio-system.svc").0).unwrap();
    eventually("it is not believed", || error().contains("certificate")).await;
}
