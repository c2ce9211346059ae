//! Who asks, in Istio's grammar. Pure.

use envoy_types::pb::{
    envoy::config::core::v3::Node,
    google::protobuf::{ListValue, Struct, Value, value::Kind},
};
use serde_json::{Map, Value as Json, json};

use crate::config::{Config, Istiod};

/// The node of a gateway: `router~<address>~<pod>.<namespace>~<namespace>.svc.<domain>`, and,
/// for an istiod, the metadata by which it knows the gateway's pod and network
/// (istio-eastwest.md §1.4, §1.5).
#[must_use]
pub fn node(config: &Config) -> Node {
    let own = &config.node;
    let (address, pod, namespace) = (own.address, &own.pod, &own.namespace);
    let domain = &own.domain;
    let metadata = config.source.istiod.as_ref();
    Node {
        id: format!("router~{address}~{pod}.{namespace}~{namespace}.svc.{domain}"),
        cluster: own.workload.clone(),
        user_agent_name: "isthmus-eastwest".to_owned(),
        metadata: metadata.map(|istiod| structure(&metadata_of(config, istiod))),
        ..Default::default()
    }
}

/// Without NETWORK an istiod sends the gateway to itself, without the view to other
/// networks' gateways; so both are always what the configuration says.
fn metadata_of(config: &Config, istiod: &Istiod) -> Map<String, Json> {
    let mut all = istiod.metadata.clone();
    for (key, value) in [
        ("NAME", &config.node.pod),
        ("NAMESPACE", &config.node.namespace),
        ("WORKLOAD_NAME", &config.node.workload),
        ("CLUSTER_ID", &config.cluster),
        ("NETWORK", &config.network),
        ("REQUESTED_NETWORK_VIEW", &config.network),
    ] {
        all.insert(key.to_owned(), json!(value));
    }
    let instance_ips = || json!(config.node.address.to_string());
    all.entry("INSTANCE_IPS").or_insert_with(instance_ips);
    // Bytes of the mesh's own TLS cannot go through a tunnel of ambient's.
    all.entry("DISABLE_HBONE_SEND")
        .or_insert_with(|| json!("true"));
    all
}

fn structure(map: &Map<String, Json>) -> Struct {
    let fields = map
        .iter()
        .map(|(key, value)| (key.clone(), value_of(value)));
    Struct {
        fields: fields.collect(),
    }
}

fn value_of(json: &Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(value_of).collect(),
        }),
        Json::Object(map) => Kind::StructValue(structure(map)),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(metadata: &str) -> Config {
        let text = include_str!("../../examples/eastwest.yaml");
        let mut config: Config = serde_yaml_ng::from_str(text).unwrap();
        config.source.xds = None;
        let istiod = format!("{{ address: 'istiod:15012', metadata: {metadata} }}");
        config.source.istiod = Some(serde_yaml_ng::from_str(&istiod).unwrap());
        config
    }

    #[test]
    fn an_istiod_learns_network_and_view_whatever_else_is_said() {
        let node = node(&config(
            "{ NETWORK: other, LABELS: { istio: eastwestgateway } }",
        ));
        assert_eq!(
            node.id,
            "router~10.10.0.5~gw-0.istio-system~istio-system.svc.cluster.local"
        );
        let fields = node.metadata.unwrap().fields;
        let text = |key: &str| match &fields[key].kind {
            Some(Kind::StringValue(text)) => text.clone(),
            other => panic!("{key}: {other:?}"),
        };
        assert_eq!(text("NETWORK"), "network1");
        assert_eq!(text("REQUESTED_NETWORK_VIEW"), "network1");
        assert_eq!(text("INSTANCE_IPS"), "10.10.0.5");
        assert_eq!(text("NAMESPACE"), "istio-system");
        let Some(Kind::StructValue(labels)) = &fields["LABELS"].kind else {
            panic!()
        };
        assert!(labels.fields.contains_key("istio"));
    }

    #[test]
    fn discovery_needs_no_metadata() {
        let mut config = config("{}");
        config.source.istiod = None;
        assert_eq!(node(&config).metadata, None);
    }
}
