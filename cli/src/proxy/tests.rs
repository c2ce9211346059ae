use std::collections::BTreeMap;

use serde_json::json;

use super::{environment::Environment, *};

/// What Istio's injector writes for a gateway (fixture of no release: the names are those of
/// `gateway-injection-template.yaml`).
fn variables() -> BTreeMap<String, String> {
    [
        ("POD_NAME", "istio-eastwestgateway-7f9d-ggggg"),
        ("POD_NAMESPACE", "istio-system"),
        ("INSTANCE_IP", "10.1.0.5"),
        ("SERVICE_ACCOUNT", "istio-eastwestgateway"),
        ("ISTIO_META_CLUSTER_ID", "cluster1"),
        ("ISTIO_META_NETWORK", "network1"),
        ("ISTIO_META_REQUESTED_NETWORK_VIEW", "network1"),
        ("ISTIO_META_WORKLOAD_NAME", "istio-eastwestgateway"),
        ("ISTIO_META_MESH_ID", "mesh1"),
        ("ISTIO_METAJSON_LABELS", "{\"istio\":\"eastwestgateway\"}"),
        (
            "PROXY_CONFIG",
            "{\"discoveryAddress\":\"istiod-1-30.istio-system.svc:15012\",\"concurrency\":2}",
        ),
        ("XDS_HEADER_x-tenant", "a"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn config(variables: BTreeMap<String, String>) -> Result<::eastwest::Config> {
    let root = tempfile::tempdir().unwrap();
    let domain = Some("istio-system.svc.cluster.example");
    Environment::new(variables, root.path(), domain).config()
}

#[test]
fn an_injected_pod_is_a_valid_gateway() {
    let config = config(variables()).unwrap();
    let node = config.node.clone();
    assert_eq!(node.pod, "istio-eastwestgateway-7f9d-ggggg");
    assert_eq!(node.domain, "cluster.example");
    assert_eq!((config.cluster.as_str(), config.workers), ("cluster1", 2));
    let istiod = config.source.istiod.clone().unwrap();
    assert_eq!(istiod.address, "istiod-1-30.istio-system.svc:15012");
    assert!(!istiod.plain_text);
    assert!(istiod.token.ends_with("var/run/secrets/tokens/istio-token"));
    assert_eq!(istiod.headers["x-tenant"], "a");
    assert_eq!(istiod.metadata["MESH_ID"], "mesh1");
    assert_eq!(
        istiod.metadata["LABELS"],
        json!({ "istio": "eastwestgateway" })
    );
    assert_eq!(istiod.metadata["SERVICE_ACCOUNT"], "istio-eastwestgateway");
    assert_eq!(config.listen.metrics.port(), 15020);
    config.validate().unwrap();
}

#[test]
fn labels_of_the_pod_name_the_service_in_metrics() {
    let root = tempfile::tempdir().unwrap();
    let pod = root.path().join("etc/istio/pod");
    std::fs::create_dir_all(&pod).unwrap();
    std::fs::write(
        pod.join("labels"),
        "app=\"ew\"\npod-template-hash=\"7f9d\"\n",
    )
    .unwrap();
    let config = Environment::new(variables(), root.path(), None)
        .config()
        .unwrap();
    assert_eq!(config.node.canonical_name.as_deref(), Some("ew"));
    let labels = config.source.istiod.unwrap().metadata["LABELS"].clone();
    assert_eq!(labels, json!({ "istio": "eastwestgateway", "app": "ew" }));
}

#[test]
fn what_is_missing_is_named() {
    for name in ["POD_NAME", "POD_NAMESPACE", "INSTANCE_IP"] {
        let mut variables = variables();
        variables.remove(name);
        let error = format!("{:#}", config(variables).unwrap_err());
        assert!(error.starts_with(name), "{error}");
    }
    let mut view_only = variables();
    view_only.remove("ISTIO_META_NETWORK");
    assert_eq!(config(view_only.clone()).unwrap().network, "network1");
    view_only.remove("ISTIO_META_REQUESTED_NETWORK_VIEW");
    let error = format!("{:#}", config(view_only).unwrap_err());
    assert!(error.contains("topology.istio.io/network"), "{error}");
}

#[test]
fn the_domain_is_found_among_arguments_that_do_not_count() {
    let rest = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let all = rest("router --domain a.svc.b --proxyLogLevel=warning --log_output_level=all:info");
    assert_eq!(domain(&all).unwrap(), Some("a.svc.b"));
    assert_eq!(domain(&rest("router --domain=c")).unwrap(), Some("c"));
    assert_eq!(domain(&rest("router")).unwrap(), None);
    let error = domain(&rest("sidecar --domain a")).unwrap_err().to_string();
    assert!(error.contains("proxy sidecar"), "{error}");
}

#[test]
fn settings_of_our_own_count_before_those_of_istio() {
    let over = "{ dial: { timeout: 3s }, passthrough: { names: [ 'a.b' ] } }";
    let config = override_with(config(variables()).unwrap(), Some(over)).unwrap();
    assert_eq!(config.dial.timeout.0.as_secs(), 3);
    assert_eq!(config.dial.attempts, 3);
    assert!(config.passthrough.names.is_some());
    let error = override_with(config, Some("{ dail: {} }")).unwrap_err();
    assert!(format!("{error:#}").contains("dail"), "{error:#}");
}
