//! The handful of rules that a wrong object breaks most often.

use discovery::serve::kube::{LabelSelector, Status, status::Cause};
use serde_json::{Map, Value};

use super::kind::Kind;

/// Checks an object that is to be kept.
///
/// # Errors
/// All that is wrong, each with its field.
pub(super) fn check(kind: &Kind, object: &Map<String, Value>) -> Result<(), Status> {
    let mut causes = name(kind, object);
    if !kind.is_custom() {
        match kind.resource.plural.as_str() {
            "pods" => pod(&object["spec"], "spec", &mut causes),
            "services" => service(&object["spec"], &mut causes),
            "deployments" | "replicasets" => workload(&object["spec"], &mut causes),
            _ => {}
        }
    }
    refuse(kind, object, causes)
}

/// Checks what becomes of an object.
///
/// # Errors
/// When it changes what may not change.
pub(super) fn check_change(
    kind: &Kind,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), Status> {
    let mut causes = Vec::new();
    let mut fixed = |pointer: &str, field: &str| {
        let value = |object: &Map<String, Value>| {
            discovery::serve::kube::column::at(object, pointer)
                .cloned()
                .unwrap_or_default()
        };
        let (old, new) = (value(before), value(after));
        if !old.is_null() && old != new {
            causes.push(Cause::invalid(
                field,
                &new.to_string(),
                "field is immutable",
            ));
        }
    };
    if !kind.is_custom() {
        match kind.resource.plural.as_str() {
            "deployments" | "replicasets" => fixed("/spec/selector", "spec.selector"),
            "secrets" => fixed("/type", "type"),
            "endpointslices" => fixed("/addressType", "addressType"),
            "clusterrolebindings" | "rolebindings" => fixed("/roleRef", "roleRef"),
            _ => {}
        }
    }
    refuse(kind, after, causes)?;
    check(kind, after)
}

fn refuse(kind: &Kind, object: &Map<String, Value>, causes: Vec<Cause>) -> Result<(), Status> {
    if causes.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let resource = &kind.resource;
    Err(Status::invalid(
        &resource.group,
        &resource.kind,
        name,
        causes,
    ))
}

fn name(kind: &Kind, object: &Map<String, Value>) -> Vec<Cause> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        return vec![Cause::required(
            "metadata.name",
            "name or generateName is required",
        )];
    }
    let wrong = |why: &str| vec![Cause::invalid("metadata.name", &format!("{name:?}"), why)];
    match kind.resource.plural.as_str() {
        "clusterroles" | "clusterrolebindings" | "roles" | "rolebindings" => Vec::new(),
        "namespaces" | "services" if !is_label(name) => wrong(LABEL),
        "namespaces" | "services" => Vec::new(),
        _ if name.len() > 253 || !name.split('.').all(is_label) => wrong(SUBDOMAIN),
        _ => Vec::new(),
    }
}

fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= 253
        && text.chars().all(|c| plain(c) || c == '-')
        && text.starts_with(plain)
        && text.ends_with(plain)
}

fn pod(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let containers = spec["containers"].as_array();
    let Some(containers) = containers.filter(|containers| !containers.is_empty()) else {
        causes.push(Cause::required(&format!("{path}.containers"), ""));
        return;
    };
    for (at, container) in containers.iter().enumerate() {
        for field in ["name", "image"] {
            if container[field].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::required(
                    &format!("{path}.containers[{at}].{field}"),
                    "",
                ));
            }
        }
    }
}

fn service(spec: &Value, causes: &mut Vec<Cause>) {
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let external = spec["type"] == "ExternalName";
    if ports.is_empty() && !external && spec["clusterIP"] != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (at, port) in ports.iter().enumerate() {
        let name = port["name"].as_str().unwrap_or_default();
        if ports.len() > 1 && name.is_empty() {
            causes.push(Cause::required(&format!("spec.ports[{at}].name"), ""));
        }
        if !name.is_empty() && ports[..at].iter().any(|other| other["name"] == name) {
            causes.push(Cause::duplicate(
                &format!("spec.ports[{at}].name"),
                &format!("{name:?}"),
            ));
        }
        for field in ["port", "targetPort"] {
            let number = &port[field];
            if number
                .as_i64()
                .is_some_and(|number| !(1..=65_535).contains(&number))
            {
                let field = format!("spec.ports[{at}].{field}");
                let why = "must be between 1 and 65535, inclusive";
                causes.push(Cause::invalid(&field, &number.to_string(), why));
            }
        }
    }
}

fn workload(spec: &Value, causes: &mut Vec<Cause>) {
    let wanted = spec["selector"]["matchLabels"].as_object();
    let template = &spec["template"]["metadata"]["labels"];
    let missing = spec["selector"].as_object().is_none_or(Map::is_empty);
    if missing {
        causes.push(Cause::required("spec.selector", ""));
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let wanted: Vec<_> = wanted
        .into_iter()
        .flatten()
        .map(|(n, v)| (n.clone(), text(v)))
        .collect();
    let pairs = wanted
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let matches = LabelSelector::equal(pairs).matches(|name| template[name].as_str());
    if !matches || missing {
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            &template.to_string(),
            why,
        ));
    }
    pod(&spec["template"]["spec"], "spec.template.spec", causes);
}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
