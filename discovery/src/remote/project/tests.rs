use serde_json::{Value, from_value, json};

use super::*;

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> T {
    from_value(value).unwrap()
}

fn service_of(value: Value) -> Option<ServiceFact> {
    service(&parse(value), &mut Interner::default())
}

#[test]
fn a_service_keeps_its_tcp_ports_and_marks() {
    let fact = service_of(json!({
        "metadata": {"name": "hello", "namespace": "sample",
            "labels": {"isthmus.io/export": "true"},
            "annotations": {"isthmus.io/to": "c1, c3,"}},
        "spec": {"clusterIP": "None", "ports": [
            {"port": 9000, "name": "raw"},
            {"port": 80, "name": "http-web", "protocol": "TCP"},
            {"port": 53, "protocol": "UDP"},
            {"port": 81, "name": "http", "appProtocol": "tcp"},
            {"port": 82, "name": "x", "appProtocol": "kubernetes.io/h2c"}]}
    }))
    .unwrap();
    let ports: Vec<_> = fact
        .ports
        .iter()
        .map(|p| (p.number, &*p.name, p.http))
        .collect();
    let expected = [
        (80, "http-web", true),
        (81, "http", false),
        (82, "x", true),
        (9000, "raw", false),
    ];
    assert_eq!(ports, expected);
    assert!(fact.headless);
    assert_eq!(fact.marked, Some(true));
    let to: Vec<_> = fact.to.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(to, ["c1", "c3"]);
    assert_eq!(fact.gateway, None);
}

#[test]
fn an_external_name_is_no_service() {
    assert_eq!(
        service_of(json!({"metadata": {}, "spec": {"type": "ExternalName"}})),
        None
    );
}

#[test]
fn a_gateway_tells_addresses_host_names_and_its_port() {
    let gateway = |type_: &str, labels: Value| {
        service_of(json!({
            "metadata": {"labels": labels},
            "spec": {"type": type_, "externalIPs": ["1.1.1.1"], "ports": [{"port": 15443}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "lb.example"}]}}
        }))
        .unwrap()
        .gateway
    };
    let label = json!({"topology.istio.io/network": "n2"});
    let found = gateway("LoadBalancer", label.clone()).unwrap();
    assert_eq!(found.network.as_str(), "n2");
    assert_eq!((found.port, found.exposed), (15443, true));
    let addresses: Vec<_> = found.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["1.1.1.1", "2.2.2.2"]);
    assert_eq!(found.host_names, ["lb.example".to_owned()].into());
    let cluster_ip = gateway("ClusterIP", label).unwrap();
    assert_eq!(
        cluster_ip.addresses.len(),
        1,
        "the status counts for load balancers only"
    );
    let moved =
        json!({"topology.istio.io/network": "n2", "networking.istio.io/gatewayPort": "443"});
    let moved = gateway("LoadBalancer", moved).unwrap();
    assert_eq!((moved.port, moved.exposed), (443, false));
    assert_eq!(gateway("LoadBalancer", json!({})), None);
}

fn slice_of(labels: Value, kind: &str) -> Option<SliceFact> {
    slice(
        &parse(json!({
            "metadata": {"name": "hello-1", "namespace": "sample", "labels": labels},
            "addressType": kind,
            "ports": [{"name": "http", "port": 5000, "protocol": "TCP"}, {"port": null}, {"name": "dns", "port": 53, "protocol": "UDP"}],
            "endpoints": [
                {"addresses": ["10.0.0.1", "10.0.0.9"], "targetRef": {"kind": "Pod", "name": "a", "namespace": "sample"}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}, "targetRef": {"kind": "Pod", "name": "b"}},
                {"addresses": ["10.0.0.3"], "targetRef": {"kind": "Pod", "name": "c", "namespace": "other"}},
                {"addresses": ["10.0.0.4"], "targetRef": {"kind": "Node", "name": "n"}},
                {"addresses": ["10.0.0.5"], "conditions": {"ready": true}}]
        })),
        &mut Interner::default(),
    )
}

#[test]
fn a_slice_keeps_first_addresses_and_whose_they_are() {
    let fact = slice_of(json!({"kubernetes.io/service-name": "hello"}), "IPv4").unwrap();
    assert_eq!(&*fact.service, "hello");
    assert_eq!(fact.ports, [("http".into(), 5000)]);
    let entries: Vec<_> = fact
        .endpoints
        .iter()
        .map(|e| (e.address.unwrap().to_string(), e.backing.clone(), e.ready))
        .collect();
    let expected = [
        ("10.0.0.1", Backing::Pod("a".into()), true),
        ("10.0.0.2", Backing::Pod("b".into()), false),
        ("10.0.0.3", Backing::Elsewhere, true),
        ("10.0.0.4", Backing::Nothing, true),
        ("10.0.0.5", Backing::Nothing, true),
    ];
    assert_eq!(entries, expected.map(|(a, b, r)| (a.to_owned(), b, r)));
}

#[test]
fn a_slice_of_no_service_or_of_names_or_imported_is_passed_over() {
    assert_eq!(slice_of(json!({}), "IPv4"), None);
    assert_eq!(
        slice_of(json!({"kubernetes.io/service-name": "hello"}), "FQDN"),
        None
    );
    let imported = json!({"kubernetes.io/service-name": "hello", "multicluster.kubernetes.io/service-name": "hello"});
    assert_eq!(slice_of(imported, "IPv4"), None);
}

fn pod_of(labels: Value, owners: Value) -> PodFact {
    let object = json!({
        "metadata": {"name": "hello-7d9f-x2", "namespace": "sample", "labels": labels, "ownerReferences": owners},
        "spec": {"nodeName": "n1", "serviceAccountName": "hello", "containers": []},
        "status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}
    });
    pod(&parse(object), &mut Interner::default()).unwrap()
}

fn owner(kind: &str, name: &str) -> Value {
    json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": true}])
}

#[test]
fn a_pod_keeps_who_and_where_it_is() {
    let labels = json!({"pod-template-hash": "7d9f", "app": "hello", "version": "v1",
        "security.istio.io/tlsMode": "istio", "topology.istio.io/network": "n9", "istio-locality": "r.z"});
    let fact = pod_of(labels, owner("ReplicaSet", "hello-7d9f"));
    let addresses: Vec<_> = fact.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.1", "fd00::1"]);
    assert_eq!((&*fact.node, &*fact.service_account), ("n1", "hello"));
    assert_eq!(
        (
            &*fact.workload,
            &*fact.canonical_name,
            &*fact.canonical_revision
        ),
        ("hello", "hello", "v1")
    );
    assert_eq!(fact.network.unwrap().as_str(), "n9");
    let locality = fact.locality.unwrap();
    assert_eq!(
        (&*locality.region, &*locality.zone, &*locality.subzone),
        ("r", "z", "")
    );
    assert!(fact.mesh_tls);
}

#[test]
fn a_workload_is_named_by_what_made_it() {
    let name = |labels, owners| pod_of(labels, owners).workload.to_string();
    let none = || json!({});
    assert_eq!(name(none(), json!([])), "hello-7d9f-x2");
    assert_eq!(name(none(), owner("StatefulSet", "web")), "web");
    assert_eq!(name(none(), owner("ReplicaSet", "web-7d9f")), "web-7d9f");
    assert_eq!(name(none(), owner("Job", "tidy-27001234")), "tidy");
    assert_eq!(name(none(), owner("Job", "tidy-once")), "tidy-once");
    let named = json!({"service.istio.io/workload-name": "mine"});
    assert_eq!(name(named, owner("StatefulSet", "web")), "mine");
    assert!(!pod_of(none(), json!([])).mesh_tls);
    assert_eq!(&*pod_of(none(), json!([])).canonical_revision, "latest");
}

#[test]
fn nodes_namespaces_and_the_mesh_config_give_one_value_each() {
    let metadata = |labels: Value| parse::<ObjectMeta>(json!({"name": "n1", "labels": labels}));
    let old = json!({"failure-domain.beta.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z", "topology.istio.io/subzone": "s"});
    let locality = locality(&metadata(old), &mut Interner::default());
    assert_eq!(
        (&*locality.region, &*locality.zone, &*locality.subzone),
        ("r", "z", "s")
    );
    assert_eq!(namespace(&metadata(json!({}))), None);
    assert_eq!(
        namespace(&metadata(json!({"topology.istio.io/network": "n"})))
            .unwrap()
            .as_str(),
        "n"
    );
    let config = |mesh: &str| mesh_config(&parse(json!({"data": {"mesh": mesh}})));
    assert_eq!(
        config("trustDomain: td1\nrootNamespace: x").as_deref(),
        Some("td1")
    );
    assert_eq!(config("rootNamespace: x"), None);
    assert_eq!(config("trustDomain: ''"), None);
    assert_eq!(config(": : :"), None);
}

#[test]
fn the_interner_keeps_what_is_used() {
    let mut interner = Interner::default();
    let kept = interner.intern("kept");
    for n in 0..5000 {
        interner.intern(&n.to_string());
    }
    assert!(
        interner.texts.len() <= 2 * SWEEP_AT_LEAST,
        "{}",
        interner.texts.len()
    );
    assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
}
