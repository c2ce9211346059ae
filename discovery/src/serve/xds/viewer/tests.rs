use std::collections::{BTreeSet, HashMap};

use envoy_types::pb::google::protobuf::Struct;

use super::*;

fn admission() -> Admission {
    let gateway = GatewayAccount {
        namespace: "istio-system".into(),
        service_account: "gateway".into(),
    };
    Admission {
        cluster: "c1".into(),
        gateways: [gateway].into(),
    }
}

fn node(id: &str) -> Node {
    Node {
        id: id.to_owned(),
        ..Node::default()
    }
}

/// A node that writes this into its metadata.
fn claims(id: &str, field: &str, text: &str) -> Node {
    let value = Value {
        kind: Some(StringValue(text.to_owned())),
    };
    let fields = HashMap::from([(field.to_owned(), value)]);
    Node {
        metadata: Some(Struct { fields }),
        ..node(id)
    }
}

fn identity(namespace: &str, account: &str) -> Option<SpiffeId> {
    Some(
        format!("spiffe://td/ns/{namespace}/sa/{account}")
            .parse()
            .unwrap(),
    )
}

#[test]
fn a_sidecar_of_its_certificate_is_let_in() {
    let id = "sidecar~10.0.0.1~web-0.v1.sample~sample.svc.cluster.local";
    let viewer = admission()
        .admit(&node(id), identity("sample", "client"))
        .unwrap();
    assert_eq!((viewer.role, &*viewer.namespace), (Role::Sidecar, "sample"));
    assert_eq!(&*viewer.pod, "web-0.v1");
}

#[test]
fn another_namespace_than_the_certificate_is_refused() {
    let id = "sidecar~10.0.0.1~web.sample~x";
    let refusal = admission()
        .admit(&node(id), identity("other", "client"))
        .unwrap_err();
    assert!(matches!(refusal, Refusal::Namespace { .. }));
    assert_eq!(refusal.code(), tonic::Code::PermissionDenied);
}

#[test]
fn a_pod_on_a_shared_loopback_device_says_which_address_is_its_own() {
    let id = "sidecar~10.0.0.1~web.sample~x";
    for (said, understood) in [
        (Some("127.1.2.7"), "127.1.2.7"),
        (Some("::1"), "::1"),
        (Some("10.0.0.9"), "127.0.0.1"),
        (Some("here"), "127.0.0.1"),
        (None, "127.0.0.1"),
    ] {
        let node = said.map_or_else(|| node(id), |said| claims(id, "LOOPBACK", said));
        let viewer = admission().admit(&node, identity("sample", "client"));
        assert_eq!(
            viewer.unwrap().loopback,
            understood.parse::<IpAddr>().unwrap(),
            "{said:?}"
        );
    }
}

#[test]
fn only_listed_accounts_are_gateways() {
    let id = "router~10.0.0.1~gw-0.istio-system~x";
    let gateway = admission().admit(&node(id), identity("istio-system", "gateway"));
    assert_eq!(gateway.unwrap().role, Role::Gateway);
    let refusal = admission().admit(&node(id), identity("istio-system", "default"));
    assert!(matches!(refusal, Err(Refusal::NotAGateway(_))));
    let elsewhere = "router~10.0.0.1~gw-0.sample~x";
    let refusal = admission().admit(&node(elsewhere), identity("sample", "gateway"));
    assert!(matches!(refusal, Err(Refusal::NotAGateway(_))));
}

#[test]
fn another_cluster_is_refused() {
    let id = "sidecar~10.0.0.1~web.sample~x";
    let claim = |cluster| claims(id, "CLUSTER_ID", cluster);
    assert!(
        admission()
            .admit(&claim("c1"), identity("sample", "client"))
            .is_ok()
    );
    let refusal = admission().admit(&claim("c2"), identity("sample", "client"));
    assert!(matches!(refusal, Err(Refusal::Cluster { .. })));
}

#[test]
fn a_certificate_that_is_no_workload_is_refused() {
    let id = "sidecar~10.0.0.1~web.sample~x";
    let identity = Some("spiffe://td/agent/7".parse().unwrap());
    let refusal = admission().admit(&node(id), identity);
    assert!(matches!(refusal, Err(Refusal::NoWorkload(_))));
}

#[test]
fn malformed_node_ids_are_refused() {
    for id in [
        "",
        "sidecar",
        "sidecar~10.0.0.1~web.sample",
        "sidecar~10.0.0.1~web.sample~x~y",
        "waypoint~10.0.0.1~web.sample~x",
        "sidecar~nowhere~web.sample~x",
        "sidecar~10.0.0.1~web~x",
        "sidecar~10.0.0.1~.sample~x",
        "sidecar~10.0.0.1~web.~x",
        "sidecar~10.0.0.1~web.sample~",
    ] {
        let refusal = admission().admit(&node(id), None).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(_)), "{id}");
    }
}

#[test]
fn every_refusal_has_a_label() {
    let identity: SpiffeId = "spiffe://td/ns/a/sa/b".parse().unwrap();
    let refusals = [
        Refusal::NoNode,
        Refusal::Malformed(String::new()),
        Refusal::NoWorkload(identity.clone()),
        Refusal::Namespace {
            claimed: String::new(),
            identity: identity.clone(),
        },
        Refusal::Cluster {
            claimed: String::new(),
            own: "c1".into(),
        },
        Refusal::NotAGateway(identity),
        Refusal::TooManyNames(1),
        Refusal::LongName(1),
        Refusal::TooManyViewers(1),
        Refusal::Silent(Duration::ZERO),
    ];
    let labels: BTreeSet<_> = refusals.iter().map(Refusal::as_str).collect();
    assert_eq!(labels, Refusal::LABELS.into());
}
