//! What discovery encodes is decoded to what it meant; what it would never say is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use discovery::{
    horizon::{Group, Target, Via},
    model::{ClusterId, Endpoint as Pod, Locality as Place, ServiceKey},
    serve::xds::resource::{self as encode, Inbound, Resource, Routes as EncodedRoutes, no_routes},
};
use envoy_types::pb::envoy::config::{
    cluster::v3::Cluster as ClusterMessage,
    endpoint::v3::{ClusterLoadAssignment, Endpoint as Host, cluster_load_assignment::Policy},
    listener::v3::Listener as ListenerMessage,
    route::v3::{RouteConfiguration, route_match::PathSpecifier},
};
use proptest::{collection::vec, prelude::*};
use trust::{identity::SpiffeId, tls::Peers};

use super::{
    cluster::Source,
    listener::{Content, Http, Source as RoutesFrom},
    tls::{Client, Common, Transport},
    *,
};

fn id(account: u8) -> SpiffeId {
    format!("spiffe://mesh.example/ns/sample/sa/a{account}")
        .parse()
        .unwrap()
}

fn pod(mesh_tls: bool) -> Via {
    let pod = Pod {
        address: IpAddr::from([10, 0, 0, 1]),
        ports: BTreeMap::new(),
        pod: "p".into(),
        workload: "w".into(),
        canonical_name: "c".into(),
        canonical_revision: "v1".into(),
        identity: id(0),
        network: None,
        locality: Place::default(),
        mesh_tls,
        ready: true,
    };
    Via::Pod(ClusterId::from("c1"), Arc::new(pod))
}

fn via() -> impl Strategy<Value = Via> {
    prop_oneof![
        any::<bool>().prop_map(pod),
        Just(Via::Gateway(None)),
        Just(Via::Gateway(Some("c2".into()))),
    ]
}

/// Groups of targets; no address comes twice.
fn groups() -> impl Strategy<Value = Vec<Group>> {
    let target = (1..u32::MAX / 64, 1..=u16::MAX, via());
    let group = ("[a-z]{0,3}", vec(target, 1..4));
    vec(group, 0..4).prop_map(|groups| {
        let mut number = 0_u8;
        let mut place = |(weight, port, via)| {
            number += 1;
            Target {
                address: IpAddr::from([10, 0, 1, number]),
                port,
                weight,
                via,
            }
        };
        let group = |(region, targets): (String, Vec<_>)| Group {
            locality: Place {
                region: region.as_str().into(),
                ..Place::default()
            },
            targets: targets.into_iter().map(&mut place).collect(),
        };
        groups.into_iter().map(group).collect()
    })
}

fn speaks_tls(via: &Via) -> bool {
    match via {
        Via::Pod(_, endpoint) => endpoint.mesh_tls,
        Via::Gateway(_) => true,
    }
}

/// Changes a message of discovery's, and encodes it again.
fn changed<M: Message + Default>(resource: &Resource, change: impl FnOnce(&mut M)) -> Vec<u8> {
    let mut message = M::decode(&**resource.bytes()).unwrap();
    change(&mut message);
    message.encode_to_vec()
}

proptest! {
    #[test]
    fn an_assignment_is_every_target_with_its_weight(groups in groups()) {
        let encoded = encode::assignment("outbound|80||s", "sample", &groups);
        let decoded = Assignment::decode(encoded.bytes()).unwrap();
        let targets = groups.iter().flat_map(|group| {
            group.targets.iter().map(|target| (&group.locality, target))
        });
        let expected: Vec<_> = targets
            .map(|(place, target)| (
                SocketAddr::new(target.address, target.port),
                target.weight,
                place.region.to_string(),
                speaks_tls(&target.via).then(|| "istio".to_owned()),
            ))
            .collect();
        let found: Vec<_> = decoded.endpoints.into_iter()
            .map(|endpoint| {
                assert!(endpoint.healthy && endpoint.priority == 0);
                (
                    endpoint.address,
                    endpoint.weight.get(),
                    endpoint.locality.region,
                    endpoint.labels.get("tlsMode").cloned(),
                )
            })
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_cluster_says_whom_to_believe(port in 1..=u16::MAX, accounts in vec(any::<u8>(), 0..4)) {
        let key = ServiceKey::new("sample", "helloworld");
        let identities: BTreeSet<_> = accounts.into_iter().map(id).collect();
        let encoded = encode::sidecar_cluster(&key, port, "cluster.local", &identities);
        let cluster = Cluster::decode(encoded.bytes()).unwrap();
        prop_assert_eq!(&cluster.source, &Source::Assigned(encoded.name().to_string()));
        prop_assert_eq!(cluster.connect_timeout, Duration::from_secs(10));
        let transport = |mode: Option<&str>| {
            let labels = mode.map(|mode| ("tlsMode".to_owned(), mode.to_owned()));
            let place = cluster.transport(&labels.into_iter().collect()).unwrap();
            cluster.transports[place].1.clone()
        };
        prop_assert_eq!(transport(None), Transport::Plain);
        prop_assert_eq!(transport(Some("disabled")), Transport::Plain);
        let Transport::Tls(Client { sni, common }) = transport(Some("istio")) else {
            panic!("no TLS");
        };
        let name = format!("outbound_.{port}_._.helloworld.sample.svc.cluster.local");
        prop_assert_eq!(sni.to_str(), name);
        prop_assert_eq!(common.alpn, ["istio"]);
        let Peers::Exactly(believed) = common.peers else { panic!("not by name") };
        // Nobody is somebody that nobody is.
        let known = |id: &SpiffeId| id.namespace().is_some();
        let believed: BTreeSet<_> = believed.into_iter().filter(known).collect();
        prop_assert_eq!(believed, identities);
    }

    #[test]
    fn a_route_leads_each_name_of_a_port_to_its_cluster(
        services in proptest::collection::btree_map(("[a-c]", "[d-g]"), vec(1..9_u16, 1..3), 0..4),
    ) {
        let services: BTreeMap<_, Vec<u16>> = services.into_iter()
            .map(|((namespace, name), mut ports)| {
                ports.dedup();
                ports.sort_unstable();
                ports.dedup();
                (ServiceKey::new(&namespace, &name), ports)
            })
            .collect();
        let encoded = EncodedRoutes::new(&services).encode("a", "cluster.local");
        let routes = Routes::decode(encoded.bytes()).unwrap();
        for (key, ports) in &services {
            let host = format!("{}.{}.svc.cluster.local", key.name, key.namespace);
            for port in ports {
                let cluster = format!("outbound|{port}||{host}");
                prop_assert_eq!(routes.cluster(&format!("{host}:{port}")), Some(&*cluster));
                let short = format!("{}.{}:{port}", key.name, key.namespace);
                prop_assert_eq!(routes.cluster(&short), Some(&*cluster));
            }
            let first = format!("outbound|{}||{host}", ports[0]);
            prop_assert_eq!(routes.cluster(&host.to_uppercase()), Some(&*first));
            let own = routes.cluster(&key.name).is_some_and(|own| own == first);
            prop_assert_eq!(own, &*key.namespace == "a");
            prop_assert_eq!(routes.cluster(&format!("{host}:99")), None);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = (Cluster::decode(&bytes), Assignment::decode(&bytes));
        let _ = (Listener::decode(&bytes), Routes::decode(&bytes));
    }
}

#[test]
fn the_application_is_behind_its_own_sidecar() {
    let cluster =
        Cluster::decode(encode::inbound_cluster([127, 0, 0, 1].into(), 5000).bytes()).unwrap();
    let Source::Fixed(fixed) = &cluster.source else {
        panic!("{cluster:?}");
    };
    assert_eq!(fixed.endpoints.len(), 1);
    assert_eq!(fixed.endpoints[0].address, ([127, 0, 0, 1], 5000).into());
    assert_eq!(cluster.transport(&fixed.endpoints[0].labels), None);
}

#[test]
fn the_outbound_listener_routes_by_a_name_and_tells_nothing() {
    let listener =
        Listener::decode(encode::outbound_listener([127, 0, 0, 1].into()).bytes()).unwrap();
    let expected = Listener {
        address: ([127, 0, 0, 1], 15001).into(),
        tls: None,
        content: Content::Http(Http {
            routes: RoutesFrom::Named("outbound".to_owned()),
            tells_client: false,
        }),
    };
    assert_eq!(listener.routes(), Some("outbound"));
    assert_eq!(listener, expected);
    assert_eq!(
        Routes::decode(no_routes("outbound").bytes()),
        Ok(Routes::default())
    );
}

#[test]
fn an_inbound_listener_lets_the_trust_domain_in() {
    let inbound = |http| Inbound {
        address: [10, 0, 0, 7].into(),
        port: 5000,
        http,
    };
    let decode = |http| {
        let encoded = encode::inbound_listener(inbound(http), &"mesh.example".parse().unwrap());
        Listener::decode(encoded.bytes()).unwrap()
    };
    let bytes = decode(false);
    assert_eq!(bytes.content, Content::Bytes("inbound|5000||".to_owned()));
    let requests = decode(true);
    assert_eq!(requests.address, ([10, 0, 0, 7], 5000).into());
    assert_eq!(requests.tls, bytes.tls);
    let Some(Common { alpn, peers }) = requests.tls else {
        panic!("no TLS");
    };
    assert_eq!(alpn[0], "istio");
    assert_eq!(peers, Peers::TrustDomain("mesh.example".parse().unwrap()));
    let Content::Http(Http {
        routes: RoutesFrom::Fixed(routes),
        tells_client: true,
    }) = requests.content
    else {
        panic!("{:?}", requests.content);
    };
    assert_eq!(routes.cluster("anything"), Some("inbound|5000||"));
}

#[test]
fn what_would_be_done_differently_is_refused() {
    let key = ServiceKey::new("sample", "helloworld");
    let encoded = encode::sidecar_cluster(&key, 80, "cluster.local", &[id(1)].into());
    let cluster = |change: fn(&mut ClusterMessage)| {
        Cluster::decode(&changed(&encoded, change))
            .unwrap_err()
            .to_string()
    };
    let outlier = cluster(|message| message.outlier_detection = Some(Default::default()));
    assert!(outlier.contains("not understood in a cluster"), "{outlier}");
    let biased = cluster(|message| message.lb_config = None);
    assert!(biased.contains("bias"), "{biased}");
    let limited = cluster(|message| {
        message.circuit_breakers.as_mut().unwrap().thresholds[0].max_requests = None;
    });
    assert!(limited.contains("circuit breaker"), "{limited}");

    let encoded = encode::assignment("c", "sample", &[]);
    let policy = changed(&encoded, |message: &mut ClusterLoadAssignment| {
        message.policy = Some(Policy::default());
    });
    assert!(Assignment::decode(&policy).is_err());

    let services = BTreeMap::from([(key, vec![80])]);
    let encoded = EncodedRoutes::new(&services).encode("sample", "cluster.local");
    let some_paths = changed(&encoded, |message: &mut RouteConfiguration| {
        let matched = message.virtual_hosts[0].routes[0].r#match.as_mut().unwrap();
        matched.path_specifier = Some(PathSpecifier::Prefix("/api".to_owned()));
    });
    let some_paths = Routes::decode(&some_paths).unwrap_err().to_string();
    assert!(some_paths.contains("some paths"), "{some_paths}");
}

#[test]
fn a_door_without_a_lock_is_refused() {
    let inbound = Inbound {
        address: [10, 0, 0, 7].into(),
        port: 5000,
        http: true,
    };
    let encoded = encode::inbound_listener(inbound, &"mesh.example".parse().unwrap());
    let open = changed(&encoded, |message: &mut ListenerMessage| {
        use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
        use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
        let socket = message.filter_chains[0].transport_socket.as_mut().unwrap();
        let Some(ConfigType::TypedConfig(any)) = &mut socket.config_type else {
            panic!("no configuration");
        };
        let mut context = DownstreamTlsContext::decode(&*any.value).unwrap();
        context.require_client_certificate = None;
        any.value = context.encode_to_vec();
    });
    let open = Listener::decode(&open).unwrap_err().to_string();
    assert!(open.contains("client certificate"), "{open}");
    // The gateway's listener is for gateways.
    assert!(Listener::decode(encode::mesh_listener().bytes()).is_err());
}

#[test]
fn of_two_with_one_address_the_first_counts() {
    let target = |weight| Target {
        address: [10, 0, 1, 1].into(),
        port: 80,
        weight,
        via: pod(true),
    };
    let group = Group {
        locality: Place::default(),
        targets: vec![target(3), target(5)],
    };
    let encoded = encode::assignment("c", "sample", &[group]);
    let decoded = Assignment::decode(encoded.bytes()).unwrap();
    assert_eq!(decoded.endpoints.len(), 1);
    assert_eq!(decoded.endpoints[0].weight.get(), 3);
    // A host without an address is not one.
    let nowhere = changed(&encoded, |message: &mut ClusterLoadAssignment| {
        use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
        let nowhere = HostIdentifier::Endpoint(Host::default());
        message.endpoints[0].lb_endpoints[0].host_identifier = Some(nowhere);
    });
    assert!(Assignment::decode(&nowhere).is_err());
}
