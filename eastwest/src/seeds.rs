//! What fuzzers begin with (`fuzz/seeds`): each is what its name says. Those of bytes are
//! made here, by `ISTHMUS_WRITE_SEEDS=1 cargo test -p eastwest seeds`.

use std::{env, fs, path::PathBuf};

use envoy_types::{
    pb::{
        envoy::{
            config::{
                core::v3::Node,
                listener::v3::{FilterChain, FilterChainMatch, Listener},
            },
            extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier},
            service::discovery::v3::{DeltaDiscoveryResponse, Resource},
        },
        google::protobuf::Any,
    },
    util::pack_any,
};
use prost::Message;

use crate::{
    config::Config,
    passthrough::client_hello::tests::{
        alpn, in_records, message, names, ours as verdict, rustls_hello,
    },
    sync::{
        decode::tests::{address, assignment, cluster, endpoint, filter, listener},
        memory::{Edge, Memory},
        message::Response as Received,
        resources::Resources,
        session::{Kind, Session},
        static_routes,
    },
};

/// Every seed of a target with its name; before that, writes `made` if that was asked for.
fn seeds(target: &str, made: &[(&str, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let directory = directory.join(target);
    if env::var_os("ISTHMUS_WRITE_SEEDS").is_some() {
        for (name, bytes) in made {
            fs::write(directory.join(name), bytes).unwrap();
        }
    }
    let all = fs::read_dir(directory).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read(path).unwrap())
    });
    let all: Vec<_> = all.collect();
    for (name, _) in made {
        assert!(all.iter().any(|(there, _)| there == name), "no {name}");
    }
    all
}

#[test]
fn seeds_of_hellos_are_whole_or_refused_as_they_are_called() {
    const SNI: &str = "outbound_.80_._.helloworld.sample.svc.cluster.local";
    let istio = rustls_hello(Some(SNI), &[b"istio"]);
    let (all, broken) = (istio[5..].to_vec(), names(&[(0, b"a"), (0, b"b")]));
    let grease = |kind| (kind, vec![0]);
    let greased = [
        grease(0x0a0a),
        alpn(&[b"istio-h2", b"istio"]),
        names(&[(7, b"other"), (0, SNI.as_bytes())]),
        grease(0xfafa),
    ];
    let made = [
        ("whole_of_rustls", istio.clone()),
        ("whole_without_sni", rustls_hello(None, &[b"h2"])),
        ("whole_in_records_of_100", in_records(&all, &[100])),
        (
            "whole_in_records_of_1_and_all",
            in_records(&all, &[1, 2000]),
        ),
        ("whole_with_grease", in_records(&message(&greased), &[4000])),
        ("part_of_rustls", istio[..200].to_vec()),
        (
            "refused_two_names",
            in_records(&message(&[broken]), &[4000]),
        ),
        ("refused_http", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("refused_too_long", vec![22, 3, 1, 0x40, 0, 1, 0, 0x80, 0]),
    ];
    for (name, bytes) in seeds("client_hello", &made) {
        let is = match verdict(&bytes) {
            Ok(Some(_)) => "whole",
            Ok(None) => "part",
            Err(_) => "refused",
        };
        assert_eq!(name.split('_').next(), Some(is), "{name}");
    }
}

/// A response on the wire, as the targets read it.
fn response(kind: Kind, resources: &[(&str, Vec<u8>)], removed: &[&str]) -> Vec<u8> {
    let body = |(name, bytes): &(&str, Vec<u8>)| Resource {
        name: (*name).to_owned(),
        resource: Some(Any {
            type_url: kind.url().to_owned(),
            value: bytes.clone(),
        }),
        ..Default::default()
    };
    let response = DeltaDiscoveryResponse {
        type_url: kind.url().to_owned(),
        nonce: "1".to_owned(),
        resources: resources.iter().map(body).collect(),
        removed_resources: removed.iter().map(|&name| name.to_owned()).collect(),
        ..Default::default()
    };
    response.encode_length_delimited_to_vec()
}

/// A listener in istiod's shape, with a chain for a cluster and one for any name.
fn chains() -> Vec<u8> {
    let chain = |names: &[&str], to: &str| FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            server_names: names.iter().map(|&name| name.to_owned()).collect(),
            application_protocols: names.iter().map(|_| "istio".to_owned()).collect(),
            ..Default::default()
        }),
        filters: vec![filter(pack_any(TcpProxy {
            cluster_specifier: Some(ClusterSpecifier::Cluster(to.to_owned())),
            ..Default::default()
        }))],
        ..Default::default()
    };
    let istiod = Listener {
        name: "0.0.0.0_15443".to_owned(),
        address: Some(address("0.0.0.0:15443")),
        filter_chains: vec![chain(&["a"], "a"), chain(&[], "b")],
        ..Default::default()
    };
    let bytes = istiod.encode_to_vec();
    response(Kind::Listener, &[("0.0.0.0_15443", bytes)], &[])
}

#[test]
fn seeds_of_resources_leave_as_many_routes_as_they_are_called() {
    let (a, b) = (cluster("a").encode_to_vec(), cluster("b").encode_to_vec());
    let door = response(Kind::Listener, &[("mesh", listener().encode_to_vec())], &[]);
    let both = response(Kind::Cluster, &[("a", a), ("b", b)], &[]);
    let ends = |name, addresses: &[&str]| {
        let all = addresses.iter().map(|at| endpoint(at)).collect();
        let bytes = assignment(name, all).encode_to_vec();
        response(Kind::Assignment, &[(name, bytes)], &[])
    };
    let (one, two) = (ends("a", &["10.0.0.1:1", "[fd00::1]:2"]), ends("b", &[]));
    let told = [both.clone(), door.clone(), one.clone(), two].concat();
    let gone = response(Kind::Cluster, &[], &["b"]);
    let broken = response(Kind::Cluster, &[("a", vec![0xff])], &[]);
    let made = [
        ("0_without_a_door", [both.clone(), one.clone()].concat()),
        ("0_door", door),
        ("2_told", told.clone()),
        ("2_with_a_broken_one", [told.clone(), broken].concat()),
        ("1_as_one_is_gone", [told, gone].concat()),
        ("2_chains", [both.clone(), chains(), one.clone()].concat()),
    ];
    for (name, bytes) in seeds("xds_resources", &made) {
        let mut session = Session::new(Node::default());
        for kind in Kind::ALL {
            let _ = session.everything(kind, []);
        }
        let (mut resources, mut rest) = (Resources::default(), &bytes[..]);
        while let Ok(response) = Received::decode_length_delimited(&mut rest) {
            resources.apply(session.receive(response).unwrap().1);
        }
        let routes = resources.routes().count().to_string();
        assert_eq!(name.split('_').next(), Some(&*routes), "{name}");
    }
}

#[test]
fn seeds_of_settings_and_tables_are_taken() {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let mut edge = None;
    for (name, bytes) in seeds("static_config", &[]) {
        let text = text(bytes);
        if name.starts_with("routes") {
            static_routes::parse(&text).unwrap();
        } else {
            let config: Config = serde_yaml_ng::from_str(&text).unwrap();
            edge = Some(Edge::of(&config.validate().unwrap()));
        }
    }
    for (name, bytes) in seeds("table_memory", &[]) {
        let memory = Memory::decode(&bytes, edge.as_ref().unwrap());
        assert!(memory.is_ok(), "{name}: {memory:?}");
    }
}
