//! What an object becomes on its way into the store: pure, but for the time and random names.

use std::time::SystemTime;

use discovery::serve::kube::{Status, status::Details};
use serde_json::{Map, Value, json};

use super::{defaults, kind::Kind, store::Fate, validate};

/// Which part of an object a request writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All but the status, where that is written apart.
    Main,
    /// The status.
    Status,
}

/// Makes a new object ready to be kept.
///
/// # Errors
/// When the server sets what the reader may not, or a rule is broken.
pub(super) fn create(
    kind: &Kind,
    mut object: Map<String, Value>,
    namespace: Option<&str>,
) -> Result<Map<String, Value>, Status> {
    let metadata = metadata(&mut object);
    if filled(metadata, "resourceVersion") {
        let why = "resourceVersion should not be set on objects to be created";
        return Err(Status::failure(500, "", why));
    }
    place(metadata, namespace)?;
    if !filled(metadata, "name")
        && let Some(prefix) = metadata.get("generateName").and_then(Value::as_str)
    {
        let name = format!("{prefix}{}", suffix());
        metadata.insert("name".to_owned(), json!(name));
    }
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
    ] {
        metadata.remove(field);
    }
    metadata.insert("uid".to_owned(), json!(uid()));
    metadata.insert("creationTimestamp".to_owned(), json!(now()));
    metadata.remove("generation");
    if kind.counted {
        metadata.insert("generation".to_owned(), json!(1));
    }
    drop_blanks(metadata);
    // A kubelet registers its node with its status; everybody else's is written apart.
    if kind.has_status && !kind.is("nodes") {
        object.remove("status");
    }
    defaults::fill(kind, &mut object);
    validate::check(kind, &object)?;
    Ok(object)
}

/// Decides what becomes of `before` when somebody wants it to be `wanted`.
///
/// # Errors
/// When it has changed meanwhile, is another object, or a rule is broken.
pub(super) fn change(
    kind: &Kind,
    before: &Map<String, Value>,
    wanted: Map<String, Value>,
    part: Part,
) -> Result<Fate, Status> {
    precondition(kind, before, &wanted)?;
    let mut after = match part {
        Part::Main => main(kind, before, wanted),
        Part::Status => status(kind, before, wanted),
    };
    defaults::fill(kind, &mut after);
    validate::check_change(kind, before, &after)?;
    count(kind, before, &mut after);
    let metadata = metadata(&mut after);
    let leaves = filled(metadata, "deletionTimestamp") && finalizers(metadata).is_empty();
    // A pod leaves when its kubelet has stopped it, a namespace when it is empty.
    let waits = kind.is("pods") || kind.is("namespaces");
    Ok(match leaves && !waits {
        true => Fate::Goes(after),
        false => Fate::Becomes(after),
    })
}

/// The finalizers of metadata.
pub(super) fn finalizers(metadata: &Map<String, Value>) -> &[Value] {
    metadata
        .get("finalizers")
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// An object's metadata.
pub(super) fn metadata(object: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let value = object.entry("metadata").or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was just made an object"),
    }
}

/// Now, as Kubernetes writes times.
pub(super) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// A new UID.
pub(super) fn uid() -> String {
    let bytes = rand::random::<u128>();
    let version = (bytes & !(0xf << 76)) | (0x4 << 76);
    let text = format!("{:032x}", (version & !(0x3 << 62)) | (0x2 << 62));
    format!(
        "{}-{}-{}-{}-{}",
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..]
    )
}

/// The end of a generated name.
pub(super) fn suffix() -> String {
    let sign = || SIGNS[rand::random_range(0..SIGNS.len())];
    (0..5).map(|_| char::from(sign())).collect()
}

/// An object comes into the namespace of its path, and into no other.
fn place(metadata: &mut Map<String, Value>, namespace: Option<&str>) -> Result<(), Status> {
    let said = metadata
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match namespace {
        Some(namespace) if said.is_empty() || said == namespace => {
            metadata.insert("namespace".to_owned(), json!(namespace));
            Ok(())
        }
        None => {
            metadata.remove("namespace");
            Ok(())
        }
        Some(_) => Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
    }
}

fn precondition(
    kind: &Kind,
    before: &Map<String, Value>,
    wanted: &Map<String, Value>,
) -> Result<(), Status> {
    let field = |object: &Map<String, Value>, name: &str| {
        object["metadata"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let name = field(before, "name");
    let details = Details::of(&kind.resource, &name);
    let (said, is) = (field(wanted, "uid"), field(before, "uid"));
    if !said.is_empty() && said != is {
        let why =
            format!("Precondition failed: UID in precondition: {said}, UID in object meta: {is}");
        return Err(Status::conflict(details, &why));
    }
    let said = field(wanted, "resourceVersion");
    if !said.is_empty() && said != field(before, "resourceVersion") {
        return Err(Status::conflict(details, MODIFIED));
    }
    Ok(())
}

fn main(
    kind: &Kind,
    before: &Map<String, Value>,
    mut wanted: Map<String, Value>,
) -> Map<String, Value> {
    let old = &before["metadata"];
    let new = metadata(&mut wanted);
    for field in KEPT {
        match old.get(field) {
            Some(value) => new.insert(field.to_owned(), value.clone()),
            None => new.remove(field),
        };
    }
    if !new.contains_key("managedFields")
        && let Some(fields) = old.get("managedFields")
    {
        new.insert("managedFields".to_owned(), fields.clone());
    }
    drop_blanks(new);
    if kind.has_status {
        match before.get("status") {
            Some(status) => wanted.insert("status".to_owned(), status.clone()),
            None => wanted.remove("status"),
        };
    }
    if kind.is("services") {
        keep_address(before, &mut wanted);
    }
    wanted
}

/// A new status; what people wrote about a built-in object comes with it.
fn status(
    kind: &Kind,
    before: &Map<String, Value>,
    mut wanted: Map<String, Value>,
) -> Map<String, Value> {
    let mut after = before.clone();
    match wanted.remove("status") {
        Some(status) => after.insert("status".to_owned(), status),
        None => after.remove("status"),
    };
    if kind.is_custom() {
        return after;
    }
    let new = metadata(&mut wanted);
    let kept = if kind.is("deployments") {
        &["annotations"][..]
    } else {
        &["labels", "annotations"]
    };
    for field in kept {
        match new.remove(*field) {
            Some(value) => metadata(&mut after).insert((*field).to_owned(), value),
            None => metadata(&mut after).remove(*field),
        };
    }
    drop_blanks(metadata(&mut after));
    after
}

/// A Service keeps its address when a writer says none.
fn keep_address(before: &Map<String, Value>, after: &mut Map<String, Value>) {
    let (Some(old), Some(Value::Object(new))) = (before.get("spec"), after.get_mut("spec")) else {
        return;
    };
    if old["type"] == "ExternalName" || new.get("type") == Some(&json!("ExternalName")) {
        return;
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if new
            .get(field)
            .is_none_or(|value| value.is_null() || value == "")
        {
            new.insert(field.to_owned(), old[field].clone());
        }
    }
    let ports = new
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten();
    for port in ports.filter(|port| port["nodePort"].is_null()) {
        let mut known = old["ports"].as_array().into_iter().flatten();
        if let Some(known) = known.find(|known| known["port"] == port["port"])
            && !known["nodePort"].is_null()
        {
            port["nodePort"] = known["nodePort"].clone();
        }
    }
}

/// Counts a change of an object's content.
fn count(kind: &Kind, before: &Map<String, Value>, after: &mut Map<String, Value>) {
    let about = kind.is("endpointslices");
    let content = |object: &Map<String, Value>| {
        let mut object = object.clone();
        object.retain(|part, _| !matches!(&**part, "status" | "kind" | "apiVersion"));
        match about {
            // Of a slice, what is said about it counts too.
            true => metadata(&mut object).retain(|field, _| {
                !matches!(&**field, "resourceVersion" | "managedFields" | "generation")
            }),
            false => drop(object.remove("metadata")),
        }
        object
    };
    if kind.counted && content(before) != content(after) {
        let generation = before["metadata"]["generation"]
            .as_i64()
            .unwrap_or_default();
        metadata(after).insert("generation".to_owned(), json!(generation + 1));
    }
}

/// Go leaves empty maps and lists of metadata out.
fn drop_blanks(metadata: &mut Map<String, Value>) {
    metadata.retain(|_, value| match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    });
}

fn filled(metadata: &Map<String, Value>, field: &str) -> bool {
    let value = metadata.get(field).and_then(Value::as_str);
    value.is_some_and(|text| !text.is_empty())
}

/// What only the server writes.
const KEPT: [&str; 8] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
];
/// Why an update is refused that was made from an older state.
pub(super) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";
/// No vowels and no signs that look like one another, as Kubernetes.
const SIGNS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

#[cfg(test)]
mod tests;
