use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::{
    config::{
        cluster::v3::{Cluster, cluster::TransportSocketMatch},
        core::v3::{TransportSocket, transport_socket::ConfigType},
        endpoint::v3::ClusterLoadAssignment,
        listener::v3::Listener,
        route::v3::RouteConfiguration,
    },
    extensions::transport_sockets::tls::v3::{
        CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext,
        common_tls_context::ValidationContextType,
    },
};
use trust::identity::SpiffeId;

use super::*;
use crate::{
    horizon::{Group, Target, Via, world::endpoint},
    model::{Locality, ServiceKey},
};

fn decode<M: Message + Default>(resource: &Resource) -> M {
    M::decode(resource.bytes().clone()).unwrap()
}

fn identities(names: &[&str]) -> BTreeSet<SpiffeId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn tls<M: Message + Default>(socket: &TransportSocket) -> M {
    let Some(ConfigType::TypedConfig(config)) = &socket.config_type else {
        panic!("no typed config");
    };
    M::decode(config.value.as_slice()).unwrap()
}

fn sans(context: &CommonTlsContext) -> Vec<String> {
    let Some(ValidationContextType::CombinedValidationContext(context)) =
        &context.validation_context_type
    else {
        panic!("no combined validation context");
    };
    let secret = context.validation_context_sds_secret_config.as_ref();
    assert_eq!(secret.unwrap().name, "ROOTCA");
    let validation = context.default_validation_context.as_ref().unwrap();
    let names = validation.match_typed_subject_alt_names.iter();
    names
        .map(|san| format!("{:?}", san.matcher.as_ref().unwrap().match_pattern))
        .collect()
}

fn groups() -> Vec<Group> {
    let pod = |mesh_tls, number| {
        let mut endpoint = endpoint(1, None);
        endpoint.mesh_tls = mesh_tls;
        Target {
            address: [10, 0, 0, number].into(),
            port: 5000,
            weight: 2,
            via: Via::Pod("c1".into(), endpoint.into()),
        }
    };
    let gateway = Target {
        address: [192, 0, 2, 1].into(),
        port: 15443,
        weight: 6,
        via: Via::Gateway(Some("c2".into())),
    };
    let group = |region: &str, targets| Group {
        locality: Locality {
            region: region.into(),
            ..Locality::default()
        },
        targets,
    };
    vec![
        group("r1", vec![pod(true, 1), pod(false, 2)]),
        group("r2", vec![gateway]),
    ]
}

#[test]
fn an_assignment_is_what_envoy_reads() {
    let resource = assignment("a", "sample", &groups());
    let decoded: ClusterLoadAssignment = decode(&resource);
    assert_eq!(decoded.cluster_name, "a");
    let weights: Vec<_> = (decoded.endpoints.iter())
        .map(|group| group.load_balancing_weight.unwrap().value)
        .collect();
    assert_eq!(weights, [4, 6]);
    let metadata: Vec<_> = (decoded.endpoints.iter())
        .flat_map(|group| &group.lb_endpoints)
        .map(|endpoint| {
            assert_eq!(endpoint.health_status, 1);
            let metadata = &endpoint.metadata.as_ref().unwrap().filter_metadata;
            let tls = metadata.contains_key("envoy.transport_socket_match");
            (
                tls,
                format!("{:?}", metadata["istio"].fields["workload"].kind),
            )
        })
        .collect();
    assert!(metadata[0].0 && metadata[0].1.contains("w;sample;c;v1;c1"));
    assert!(
        !metadata[1].0,
        "who takes no mesh mTLS is dialled in plain text"
    );
    assert!(metadata[2].0 && metadata[2].1.contains(";;;;c2"));
}

#[test]
fn one_content_has_one_version() {
    let key = ServiceKey::new("sample", "helloworld");
    let ids = identities(&["spiffe://td/ns/a/sa/b", "spiffe://td/ns/a/sa/c"]);
    let first = assignment("a", "sample", &groups());
    let cluster = sidecar_cluster(&key, 80, "cluster.local", &ids);
    for _ in 0..50 {
        assert_eq!(assignment("a", "sample", &groups()), first);
        assert_eq!(sidecar_cluster(&key, 80, "cluster.local", &ids), cluster);
    }
    assert_ne!(
        assignment("a", "other", &groups()).version(),
        first.version()
    );
}

#[test]
fn an_assignment_changes_its_version_with_its_cluster() {
    let key = ServiceKey::new("sample", "helloworld");
    let one = sidecar_cluster(&key, 80, "d", &identities(&["spiffe://td/ns/a/sa/b"]));
    let two = sidecar_cluster(&key, 80, "d", &identities(&["spiffe://td/ns/a/sa/c"]));
    let plain = assignment("a", "sample", &[]);
    assert_eq!(plain.follows(&one), plain.follows(&one));
    assert_ne!(plain.follows(&one), plain.follows(&two));
    assert_eq!(plain.follows(&one).bytes(), plain.follows(&two).bytes());
}

#[test]
fn a_sidecar_cluster_speaks_mesh_mtls_to_its_identities_only() {
    let key = ServiceKey::new("sample", "helloworld");
    let context = |ids: &[&str]| -> UpstreamTlsContext {
        let cluster: Cluster = decode(&sidecar_cluster(
            &key,
            80,
            "cluster.local",
            &identities(ids),
        ));
        assert_eq!(
            cluster.name,
            "outbound|80||helloworld.sample.svc.cluster.local"
        );
        let matches: Vec<&TransportSocketMatch> = cluster.transport_socket_matches.iter().collect();
        assert_eq!(matches[1].r#match.as_ref().unwrap().fields.len(), 0);
        tls(matches[0].transport_socket.as_ref().unwrap())
    };
    let known = context(&["spiffe://td/ns/a/sa/b", "spiffe://td/ns/a/sa/c"]);
    assert_eq!(
        known.sni,
        "outbound_.80_._.helloworld.sample.svc.cluster.local"
    );
    let common = known.common_tls_context.unwrap();
    assert_eq!(common.alpn_protocols, ["istio"]);
    let names = sans(&common);
    assert_eq!(names.len(), 2);
    assert!(names[0].contains("Exact(\"spiffe://td/ns/a/sa/b\")"));
    let nobody = sans(&context(&[]).common_tls_context.unwrap());
    assert_eq!(nobody.len(), 1, "an empty list would let everybody answer");
}

#[test]
fn a_gateway_cluster_is_named_by_its_sni_and_opens_no_tls() {
    let key = ServiceKey::new("sample", "helloworld");
    let resource = gateway_cluster(&key, 80, "cluster.local");
    let cluster: Cluster = decode(&resource);
    assert_eq!(
        cluster.name,
        "outbound_.80_._.helloworld.sample.svc.cluster.local"
    );
    assert_eq!(&**resource.name(), cluster.name);
    assert!(cluster.transport_socket_matches.is_empty() && cluster.transport_socket.is_none());
    let metadata = &cluster.metadata.unwrap().filter_metadata["istio"].fields;
    let services = format!("{:?}", metadata["services"]);
    for text in [
        "helloworld.sample.svc.cluster.local",
        "helloworld",
        "sample",
    ] {
        assert!(
            services.contains(&format!("StringValue(\"{text}\")")),
            "{services}"
        );
    }
}

#[test]
fn an_inbound_listener_demands_a_certificate_of_the_trust_domain() {
    let inbound = Inbound {
        address: [10, 0, 0, 1].into(),
        port: 5000,
        http: true,
    };
    let listener: Listener = decode(&inbound_listener(inbound, &"td".parse().unwrap()));
    assert_eq!(listener.name, "inbound_10.0.0.1_5000");
    let socket = listener.filter_chains[0].transport_socket.as_ref().unwrap();
    let context: DownstreamTlsContext = tls(socket);
    assert!(context.require_client_certificate.unwrap().value);
    let names = sans(&context.common_tls_context.unwrap());
    assert_eq!(names, ["Some(Prefix(\"spiffe://td/\"))"]);
}

#[test]
fn routes_are_found_by_every_name_and_no_domain_comes_twice() {
    let services: BTreeMap<_, _> = [
        (ServiceKey::new("sample", "helloworld"), vec![80, 9090]),
        (ServiceKey::new("other", "helloworld"), vec![8080]),
        (ServiceKey::new("sample", "other"), vec![8080, 80]),
    ]
    .into();
    let resource = Routes::new(&services).encode("sample", "cluster.local");
    let routes: RouteConfiguration = decode(&resource);
    let domains: Vec<_> = (routes.virtual_hosts.iter())
        .flat_map(|host| {
            host.domains
                .iter()
                .map(|domain| (domain.as_str(), &host.name))
        })
        .collect();
    let unique: BTreeMap<_, _> = domains.iter().copied().collect();
    assert_eq!(unique.len(), domains.len());
    let expect = |domain: &str, host: &str| assert_eq!(unique[domain], host, "{domain}");
    expect("helloworld", "helloworld.sample.svc.cluster.local:80");
    expect(
        "helloworld:9090",
        "helloworld.sample.svc.cluster.local:9090",
    );
    expect(
        "helloworld.other",
        "helloworld.other.svc.cluster.local:8080",
    );
    expect("other.sample", "other.sample.svc.cluster.local:80");
    expect(
        "helloworld.sample.svc.cluster.local",
        "helloworld.sample.svc.cluster.local:80",
    );
    assert!(
        !unique.contains_key("helloworld:8080"),
        "another namespace's short name"
    );
    assert!(
        routes
            .virtual_hosts
            .iter()
            .all(|host| host.retry_policy.is_none())
    );
}

#[test]
fn kinds_are_known_by_their_urls() {
    for kind in Kind::ALL {
        assert_eq!(Kind::of_url(kind.url()), Some(kind));
    }
    assert_eq!(Kind::of_url("type.googleapis.com/x.Y"), None);
}
