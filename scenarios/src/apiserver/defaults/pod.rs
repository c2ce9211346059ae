//! What a pod gets that does not say it.

use serde_json::{Map, Value, json};

use super::{set, times};

/// Fills in a pod.
pub(super) fn fill(object: &mut Map<String, Value>) {
    fill_template(object);
    let Some(Value::Object(spec)) = object.get_mut("spec") else {
        return;
    };
    set(spec, "priority", json!(0));
    set(spec, "enableServiceLinks", json!(true));
    set(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    set(
        spec,
        "tolerations",
        json!([tolerated("not-ready"), tolerated("unreachable")]),
    );
    let class = class(spec);
    let status = object.entry("status").or_insert_with(|| json!({}));
    if status["podIP"].is_string() && status["podIPs"].is_null() {
        status["podIPs"] = json!([{ "ip": status["podIP"] }]);
    }
    if status["conditions"].is_array() {
        times(
            &mut status["conditions"],
            &["lastProbeTime", "lastTransitionTime"],
        );
    }
    for (name, value) in [("phase", "Pending"), ("qosClass", class)] {
        if status[name].is_null() {
            status[name] = json!(value);
        }
    }
}

/// Fills in what pods and templates of pods have in common.
pub(super) fn fill_template(object: &mut Map<String, Value>) {
    let Some(Value::Object(spec)) = object.get_mut("spec") else {
        return;
    };
    set(spec, "restartPolicy", json!("Always"));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", json!("default-scheduler"));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set(spec, "serviceAccount", account);
    }
    for list in ["containers", "initContainers"] {
        for each in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Value::Object(each) = each {
                container(each);
            }
        }
    }
}

fn container(container: &mut Map<String, Value>) {
    let image = container
        .get("image")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let tag = image
        .rsplit('/')
        .next()
        .and_then(|last| last.split_once(':'));
    let latest = tag.is_none_or(|(_, tag)| tag == "latest") && !image.contains('@');
    let pull = if latest { "Always" } else { "IfNotPresent" };
    set(container, "resources", json!({}));
    set(
        container,
        "terminationMessagePath",
        json!("/dev/termination-log"),
    );
    set(container, "terminationMessagePolicy", json!("File"));
    set(container, "imagePullPolicy", json!(pull));
    if let Some(limits) = container["resources"]["limits"].as_object().cloned() {
        for (name, limit) in limits {
            let requests = &mut container["resources"]["requests"];
            if requests[&name].is_null() {
                requests[&name] = limit;
            }
        }
    }
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if port["protocol"].is_null() {
            port["protocol"] = json!("TCP");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe)) = container.get_mut(probe) {
            set(probe, "timeoutSeconds", json!(1));
            set(probe, "periodSeconds", json!(10));
            set(probe, "successThreshold", json!(1));
            set(probe, "failureThreshold", json!(3));
            if let Some(Value::Object(get)) = probe.get_mut("httpGet") {
                set(get, "scheme", json!("HTTP"));
                set(get, "path", json!("/"));
            }
        }
    }
}

/// The quality of service that a pod's requests and limits make.
fn class(spec: &Map<String, Value>) -> &'static str {
    let containers = || {
        spec.get("containers")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let asks = |part: &str| {
        let mut all = containers().map(|container| &container["resources"][part]);
        all.any(|amounts| amounts.as_object().is_some_and(|map| !map.is_empty()))
    };
    let full = containers().all(|container| {
        let limits = &container["resources"]["limits"];
        let requests = &container["resources"]["requests"];
        ["cpu", "memory"].iter().all(|name| {
            limits[name].is_string() && (requests[name].is_null() || requests[name] == limits[name])
        })
    });
    match (asks("limits"), asks("requests")) {
        (false, false) => "BestEffort",
        _ if full => "Guaranteed",
        _ => "Burstable",
    }
}

fn tolerated(what: &str) -> Value {
    json!({
        "key": format!("node.kubernetes.io/{what}"),
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    })
}
