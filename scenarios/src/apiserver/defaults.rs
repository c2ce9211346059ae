//! What the API server adds to an object that does not say it.

mod pod;
mod service;

use serde_json::{Map, Value, json};

use super::kind::Kind;
pub(super) use service::Addresses;

/// Fills in what Kubernetes fills in when `object` is stored.
pub(super) fn fill(kind: &Kind, object: &mut Map<String, Value>) {
    if kind.is_custom() {
        return;
    }
    // What Go writes even when it is empty: everybody behind this may count on it.
    if SPECIFIED.contains(&kind.resource.plural.as_str()) {
        set(object, "spec", json!({}));
    }
    match kind.resource.plural.as_str() {
        "namespaces" => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            if object["spec"]["finalizers"].is_null() {
                object["spec"]["finalizers"] = json!(["kubernetes"]);
            }
            set(object, "status", json!({ "phase": "Active" }));
        }
        "pods" => pod::fill(object),
        "services" => service::fill(object),
        "secrets" => secret(object),
        "deployments" | "replicasets" => workload(&kind.resource.plural, object),
        "endpointslices" => slice(object),
        "customresourcedefinitions" => definition(object),
        "clusterroles" | "roles" => set(object, "rules", Value::Null),
        "clusterrolebindings" | "rolebindings" => binding(object),
        "nodes" => node(object),
        _ => {}
    }
}

fn secret(object: &mut Map<String, Value>) {
    set(object, "type", json!("Opaque"));
    let Some(Value::Object(plain)) = object.remove("stringData") else {
        return;
    };
    let data = object.entry("data").or_insert_with(|| json!({}));
    for (name, value) in plain {
        let text = value.as_str().unwrap_or_default();
        let coded = k8s_openapi::ByteString(text.as_bytes().to_vec());
        data[name] = serde_json::to_value(coded).unwrap_or_default();
    }
}

fn workload(plural: &str, object: &mut Map<String, Value>) {
    let Some(Value::Object(spec)) = object.get_mut("spec") else {
        return;
    };
    set(spec, "replicas", json!(1));
    if let Some(Value::Object(template)) = spec.get_mut("template") {
        set(template, "metadata", json!({}));
        pod::fill_template(template);
    }
    if plural == "deployments" {
        set(spec, "revisionHistoryLimit", json!(10));
        set(spec, "progressDeadlineSeconds", json!(600));
        let strategy = spec.entry("strategy").or_insert_with(|| json!({}));
        if strategy["type"].is_null() {
            strategy["type"] = json!("RollingUpdate");
        }
        if strategy["type"] == "RollingUpdate" && strategy["rollingUpdate"].is_null() {
            strategy["rollingUpdate"] = json!({ "maxUnavailable": "25%", "maxSurge": "25%" });
        }
        set(object, "status", json!({}));
    } else {
        set(object, "status", json!({ "replicas": 0 }));
    }
}

fn slice(object: &mut Map<String, Value>) {
    for list in ["endpoints", "ports"] {
        let empty = object
            .get(list)
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty);
        if empty {
            // As Go writes an empty list of its wire format.
            object.insert(list.to_owned(), Value::Null);
        }
    }
    for endpoint in object["endpoints"].as_array_mut().into_iter().flatten() {
        if endpoint["conditions"].is_null() {
            endpoint["conditions"] = json!({});
        }
    }
    for port in object["ports"].as_array_mut().into_iter().flatten() {
        for (name, value) in [("name", ""), ("protocol", "TCP")] {
            if port[name].is_null() {
                port[name] = json!(value);
            }
        }
    }
}

fn definition(object: &mut Map<String, Value>) {
    let spec = object.entry("spec").or_insert_with(|| json!({}));
    if spec["conversion"].is_null() {
        spec["conversion"] = json!({ "strategy": "None" });
    }
    let names = &mut spec["names"];
    let kind = names["kind"].as_str().unwrap_or_default().to_owned();
    if names["singular"].is_null() {
        names["singular"] = json!(kind.to_lowercase());
    }
    if names["listKind"].is_null() {
        names["listKind"] = json!(format!("{kind}List"));
    }
    let versions = spec["versions"].as_array().into_iter().flatten();
    let stored = versions.filter(|version| version["storage"] == true);
    let stored: Vec<Value> = stored.map(|version| version["name"].clone()).collect();
    let blank = json!({
        "conditions": null,
        "acceptedNames": { "plural": "", "kind": "" },
        "storedVersions": stored,
    });
    set(object, "status", blank);
}

fn binding(object: &mut Map<String, Value>) {
    let group = "rbac.authorization.k8s.io";
    if object["roleRef"]["apiGroup"]
        .as_str()
        .unwrap_or_default()
        .is_empty()
    {
        object["roleRef"]["apiGroup"] = json!(group);
    }
    for subject in object
        .get_mut("subjects")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if subject["apiGroup"].is_null() && subject["kind"] != "ServiceAccount" {
            subject["apiGroup"] = json!(group);
        }
    }
}

fn node(object: &mut Map<String, Value>) {
    let blank = json!({
        "daemonEndpoints": { "kubeletEndpoint": { "Port": 0 } },
        "nodeInfo": {
            "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "",
            "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "",
            "operatingSystem": "", "architecture": "",
        },
    });
    set(object, "spec", json!({}));
    set(object, "status", json!({}));
    if object["status"]["conditions"].is_array() {
        times(
            &mut object["status"]["conditions"],
            &["lastHeartbeatTime", "lastTransitionTime"],
        );
    }
    for (name, value) in blank.as_object().into_iter().flatten() {
        if object["status"][name].is_null() {
            object["status"][name] = value.clone();
        }
    }
}

/// Times of conditions that nobody has set are said to be none.
fn times(conditions: &mut Value, names: &[&str]) {
    for condition in conditions.as_array_mut().into_iter().flatten() {
        for name in names {
            if condition[name].is_null() {
                condition[name] = Value::Null;
            }
        }
    }
}

/// Sets what is not set.
fn set(object: &mut Map<String, Value>, name: &str, value: Value) {
    if object.get(name).is_none_or(Value::is_null) {
        object.insert(name.to_owned(), value);
    }
}

/// Types whose objects have a spec.
const SPECIFIED: [&str; 8] = [
    "namespaces",
    "nodes",
    "pods",
    "services",
    "deployments",
    "replicasets",
    "leases",
    "customresourcedefinitions",
];
