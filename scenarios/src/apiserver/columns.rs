//! How `kubectl get` shows objects of the built-in types.

mod pod;
mod text;

use std::time::SystemTime;

use discovery::serve::kube::column::{Cell, Column, age, at};
use serde_json::{Map, Value, json};

use text::{array, join, labels, one, or_none};

type Object = Map<String, Value>;

pub(super) fn namespaces() -> Vec<Column> {
    vec![
        Column::name(),
        text_at("Status", "/status/phase"),
        Column::age(),
    ]
}

pub(super) fn nodes() -> Vec<Column> {
    vec![
        Column::name(),
        shown("Status", |node, _| json!(node_status(node))),
        shown("Roles", |node, _| json!(roles_of(node))),
        Column::age(),
        text_at("Version", "/status/nodeInfo/kubeletVersion"),
        shown("Internal-IP", |node, _| json!(address(node, "InternalIP"))).wide(),
        shown("External-IP", |node, _| json!(address(node, "ExternalIP"))).wide(),
        shown("OS-Image", |node, _| {
            known(node, "/status/nodeInfo/osImage")
        })
        .wide(),
        shown("Kernel-Version", |node, _| {
            known(node, "/status/nodeInfo/kernelVersion")
        })
        .wide(),
        shown("Container-Runtime", |node, _| {
            known(node, "/status/nodeInfo/containerRuntimeVersion")
        })
        .wide(),
    ]
}

pub(super) fn pods() -> Vec<Column> {
    vec![
        Column::name(),
        shown("Ready", |pod, _| json!(pod::ready(pod))),
        shown("Status", |pod, _| json!(pod::status(pod))),
        shown("Restarts", |pod, _| json!(pod::restarts(pod))),
        Column::age(),
        shown("IP", |pod, _| json!(or_none(one(pod, "/status/podIP")))).wide(),
        shown("Node", |pod, _| json!(or_none(one(pod, "/spec/nodeName")))).wide(),
        shown("Nominated Node", |pod, _| {
            json!(or_none(one(pod, "/status/nominatedNodeName")))
        })
        .wide(),
        shown("Readiness Gates", |_, _| json!("<none>")).wide(),
    ]
}

pub(super) fn services() -> Vec<Column> {
    vec![
        Column::name(),
        text_at("Type", "/spec/type"),
        shown("Cluster-IP", |service, _| {
            json!(or_none(one(service, "/spec/clusterIP")))
        }),
        shown("External-IP", |service, _| json!(external(service))),
        shown("Port(s)", |service, _| json!(ports(service))),
        Column::age(),
        shown("Selector", |service, _| {
            json!(labels(at(service, "/spec/selector")))
        })
        .wide(),
    ]
}

pub(super) fn secrets() -> Vec<Column> {
    vec![
        Column::name(),
        text_at("Type", "/type"),
        shown("Data", |secret, _| json!(size(secret, &["/data"]))),
        Column::age(),
    ]
}

pub(super) fn config_maps() -> Vec<Column> {
    vec![
        Column::name(),
        shown("Data", |map, _| json!(size(map, &["/data", "/binaryData"]))),
        Column::age(),
    ]
}

pub(super) fn accounts() -> Vec<Column> {
    vec![Column::name(), Column::age()]
}

pub(super) fn events() -> Vec<Column> {
    let object = |event: &Object, _| {
        let kind = one(event, "/involvedObject/kind").to_lowercase();
        json!(format!("{kind}/{}", one(event, "/involvedObject/name")))
    };
    vec![
        shown("Last Seen", |event, now| {
            since(event, ["/lastTimestamp", "/eventTime"], now)
        }),
        text_at("Type", "/type"),
        text_at("Reason", "/reason"),
        shown("Object", object),
        text_at("Subobject", "/involvedObject/fieldPath").wide(),
        text_at("Source", "/source/component").wide(),
        text_at("Message", "/message"),
        shown("First Seen", |event, now| {
            since(event, ["/firstTimestamp", "/eventTime"], now)
        })
        .wide(),
        shown("Count", |event, _| {
            at(event, "/count").cloned().unwrap_or_else(|| json!(1))
        })
        .wide(),
        Column {
            priority: 1,
            ..Column::name()
        },
    ]
}

pub(super) fn deployments() -> Vec<Column> {
    let ready = |deployment: &Object, _| {
        let wanted = number(deployment, "/spec/replicas");
        json!(format!(
            "{}/{wanted}",
            number(deployment, "/status/readyReplicas")
        ))
    };
    let mut columns = vec![
        Column::name(),
        shown("Ready", ready),
        shown("Up-to-date", |d, _| {
            json!(number(d, "/status/updatedReplicas"))
        }),
        shown("Available", |d, _| {
            json!(number(d, "/status/availableReplicas"))
        }),
        Column::age(),
    ];
    columns.extend(of_template());
    columns
}

pub(super) fn replica_sets() -> Vec<Column> {
    let count = |name, cell: fn(&Object, SystemTime) -> Value| {
        Column::new(name, "integer", Cell::Shown(cell))
    };
    let mut columns = vec![
        Column::name(),
        count("Desired", |set, _| json!(number(set, "/spec/replicas"))),
        count("Current", |set, _| json!(number(set, "/status/replicas"))),
        count("Ready", |set, _| {
            json!(number(set, "/status/readyReplicas"))
        }),
        Column::age(),
    ];
    columns.extend(of_template());
    columns
}

pub(super) fn slices() -> Vec<Column> {
    let numbers = |slice: &Object, _| {
        let ports: Vec<_> = array(slice, "/ports")
            .iter()
            .map(|p| p["port"].to_string())
            .collect();
        json!(if ports.is_empty() {
            "<unset>".to_owned()
        } else {
            join(&ports, 3)
        })
    };
    let addresses = |slice: &Object, _| {
        let endpoints = array(slice, "/endpoints").iter();
        let all = endpoints.flat_map(|e| e["addresses"].as_array().into_iter().flatten());
        let all: Vec<_> = all.filter_map(|a| a.as_str().map(str::to_owned)).collect();
        json!(if all.is_empty() {
            "<unset>".to_owned()
        } else {
            join(&all, 3)
        })
    };
    vec![
        Column::name(),
        text_at("AddressType", "/addressType"),
        shown("Ports", numbers),
        shown("Endpoints", addresses),
        Column::age(),
    ]
}

pub(super) fn leases() -> Vec<Column> {
    vec![
        Column::name(),
        text_at("Holder", "/spec/holderIdentity"),
        Column::age(),
    ]
}

pub(super) fn definitions() -> Vec<Column> {
    let created = Cell::At("/metadata/creationTimestamp");
    vec![Column::name(), Column::new("Created At", "date", created)]
}

pub(super) fn roles() -> Vec<Column> {
    definitions()
}

pub(super) fn bindings() -> Vec<Column> {
    let role = |binding: &Object, _| {
        json!(format!(
            "{}/{}",
            one(binding, "/roleRef/kind"),
            one(binding, "/roleRef/name")
        ))
    };
    vec![
        Column::name(),
        shown("Role", role),
        Column::age(),
        shown("Users", |b, _| json!(subjects(b, "User"))).wide(),
        shown("Groups", |b, _| json!(subjects(b, "Group"))).wide(),
        shown("ServiceAccounts", |b, _| {
            json!(subjects(b, "ServiceAccount"))
        })
        .wide(),
    ]
}

fn of_template() -> [Column; 3] {
    [
        shown("Containers", |object, _| containers(object, "name")).wide(),
        shown("Images", |object, _| containers(object, "image")).wide(),
        shown("Selector", |object, _| {
            json!(labels(at(object, "/spec/selector/matchLabels")))
        })
        .wide(),
    ]
}

fn containers(object: &Object, field: &str) -> Value {
    let all = array(object, "/spec/template/spec/containers").iter();
    let all: Vec<_> = all.filter_map(|c| c[field].as_str()).collect();
    json!(all.join(","))
}

/// How long ago the first of these times was that is set.
fn since(event: &Object, names: [&str; 2], now: SystemTime) -> Value {
    let mut times = names.iter().map(|name| one(event, name));
    let time = times.find(|time| !time.is_empty());
    json!(time.map_or("<unknown>".to_owned(), |time| age(time, now)))
}

fn shown(name: &str, cell: fn(&Object, SystemTime) -> Value) -> Column {
    Column::new(name, "string", Cell::Shown(cell))
}

fn text_at(name: &str, pointer: &'static str) -> Column {
    Column::new(name, "string", Cell::At(pointer))
}

fn node_status(node: &Object) -> String {
    let conditions = array(node, "/status/conditions");
    let ready = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready");
    let mut status = match ready.map(|ready| &ready["status"]) {
        None => "Unknown",
        Some(status) if status == "True" => "Ready",
        Some(_) => "NotReady",
    }
    .to_owned();
    if at(node, "/spec/unschedulable") == Some(&json!(true)) {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles_of(node: &Object) -> String {
    let labels = at(node, "/metadata/labels").and_then(Value::as_object);
    let roles = labels.into_iter().flatten().filter_map(|(name, value)| {
        match name.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => Some(role.to_owned()),
            _ if name == "kubernetes.io/role" => value.as_str().map(str::to_owned),
            _ => None,
        }
    });
    let roles: Vec<_> = roles.collect();
    or_none(&roles.join(","))
}

fn address(node: &Object, kind: &str) -> String {
    let addresses = array(node, "/status/addresses");
    let found = addresses.iter().find(|address| address["type"] == kind);
    or_none(
        found
            .and_then(|address| address["address"].as_str())
            .unwrap_or_default(),
    )
}

fn known(object: &Object, pointer: &str) -> Value {
    match one(object, pointer) {
        "" => json!("<unknown>"),
        text => json!(text),
    }
}

fn external(service: &Object) -> String {
    let listed: Vec<_> = array(service, "/spec/externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    match one(service, "/spec/type") {
        "ExternalName" => one(service, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = array(service, "/status/loadBalancer/ingress").iter();
            let found = ingress.filter_map(|i| i["ip"].as_str().or_else(|| i["hostname"].as_str()));
            let all: Vec<_> = found.chain(listed).collect();
            match all.is_empty() {
                true => "<pending>".to_owned(),
                false => all.join(","),
            }
        }
        _ => or_none(&listed.join(",")),
    }
}

fn ports(service: &Object) -> String {
    let port = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port["nodePort"].as_i64() {
            Some(node) if node > 0 => format!("{}:{node}/{protocol}", port["port"]),
            _ => format!("{}/{protocol}", port["port"]),
        }
    };
    let ports: Vec<_> = array(service, "/spec/ports").iter().map(port).collect();
    or_none(&ports.join(","))
}

fn subjects(binding: &Object, kind: &str) -> String {
    let all = array(binding, "/subjects")
        .iter()
        .filter(|s| s["kind"] == kind);
    let names: Vec<_> = all
        .map(|subject| {
            let name = subject["name"].as_str().unwrap_or_default();
            match subject["namespace"].as_str() {
                Some(namespace) => format!("{namespace}/{name}"),
                None => name.to_owned(),
            }
        })
        .collect();
    names.join(", ")
}

fn size(object: &Object, pointers: &[&str]) -> usize {
    let sizes = pointers
        .iter()
        .filter_map(|pointer| at(object, pointer)?.as_object());
    sizes.map(Map::len).sum()
}

fn number(object: &Object, pointer: &str) -> i64 {
    at(object, pointer)
        .and_then(Value::as_i64)
        .unwrap_or_default()
}
