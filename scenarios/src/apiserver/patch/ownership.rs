//! Who wants which fields: Kubernetes' `fieldsV1`, as a tree.
//!
//! `f:NAME` is a field, `k:{...}` an element of a list by its key, `v:...` a plain value of a
//! set, `.` the element itself. A leaf is an empty tree.

use serde_json::{Map, Value, json};

use super::lists::{List, list_at};

/// The fields that `config` says.
pub(super) fn fields(config: &Value) -> Value {
    let mut tree = said(config, &mut Vec::new());
    if let Some(tree) = tree.as_object_mut() {
        tree.remove("f:apiVersion");
        tree.remove("f:kind");
        if let Some(metadata) = tree.get_mut("f:metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, _| !matches!(name.as_str(), "f:name" | "f:namespace"));
            if metadata.is_empty() {
                tree.remove("f:metadata");
            }
        }
    }
    tree
}

fn said<'a>(value: &'a Value, path: &mut Vec<&'a str>) -> Value {
    let mut tree = Map::new();
    match (value, list_at(path)) {
        (Value::Object(map), _) => {
            for (name, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                path.push(name);
                tree.insert(format!("f:{name}"), said(value, path));
                path.pop();
            }
        }
        (Value::Array(list), List::By(key)) => {
            for element in list {
                let mut fields = said(element, path);
                fields["."] = json!({});
                tree.insert(format!("k:{}", json!({ key: element[key] })), fields);
            }
        }
        (Value::Array(list), List::Set) => {
            tree.extend(list.iter().map(|value| (format!("v:{value}"), json!({}))));
        }
        _ => {}
    }
    Value::Object(tree)
}

/// The value of a step of a tree in an object.
pub(super) fn step<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    if let Some(field) = name.strip_prefix("f:") {
        return value.get(field);
    }
    let list = value.as_array()?;
    if let Some(key) = name.strip_prefix("k:") {
        return list.iter().find(|element| has_key(element, key));
    }
    let wanted: Value = serde_json::from_str(name.strip_prefix("v:")?).ok()?;
    list.iter().find(|element| **element == wanted)
}

/// The paths of the leaves that both trees have and whose values differ.
pub(super) fn contradictions(
    theirs: &Value,
    ours: &Value,
    live: &Value,
    wanted: &Value,
) -> Vec<String> {
    let mut found = Vec::new();
    compare(
        theirs,
        ours,
        (Some(live), Some(wanted)),
        String::new(),
        &mut found,
    );
    found
}

fn compare(
    theirs: &Value,
    ours: &Value,
    (live, wanted): (Option<&Value>, Option<&Value>),
    path: String,
    found: &mut Vec<String>,
) {
    let (Some(theirs), Some(ours)) = (theirs.as_object(), ours.as_object()) else {
        return;
    };
    if (theirs.is_empty() || ours.is_empty()) && live != wanted {
        found.push(path);
        return;
    }
    for (name, ours) in ours.iter().filter(|(name, _)| *name != ".") {
        if let Some(theirs) = theirs.get(name) {
            let below =
                |value: Option<&'_ Value>| value.and_then(|value| step(value, name).cloned());
            let (live, wanted) = (below(live), below(wanted));
            let path = format!("{path}{}", shown(name));
            compare(theirs, ours, (live.as_ref(), wanted.as_ref()), path, found);
        }
    }
}

/// Removes from `live` the leaves of `before` that are in none of `kept`.
pub(super) fn abandon(live: &mut Value, before: &Value, kept: &[&Value]) {
    let Some(before) = before.as_object() else {
        return;
    };
    for (name, below) in before.iter().filter(|(name, _)| *name != ".") {
        let deeper: Vec<&Value> = kept.iter().filter_map(|tree| tree.get(name)).collect();
        let is_leaf = below
            .as_object()
            .is_none_or(|below| below.keys().all(|name| name == "."));
        let element = name.starts_with("k:");
        match (is_leaf || element, deeper.is_empty()) {
            (true, true) => remove(live, name),
            (true, false) if is_leaf => {}
            (_, gone) => {
                let Some(value) = step_mut(live, name) else {
                    continue;
                };
                abandon(value, below, &deeper);
                let bare = value.as_object().is_some_and(Map::is_empty)
                    || value.as_array().is_some_and(Vec::is_empty);
                if gone && bare {
                    remove(live, name);
                }
            }
        }
    }
}

fn step_mut<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    if let Some(field) = name.strip_prefix("f:") {
        return value.get_mut(field);
    }
    let key = name.strip_prefix("k:")?;
    value
        .as_array_mut()?
        .iter_mut()
        .find(|element| has_key(element, key))
}

fn remove(value: &mut Value, name: &str) {
    if let (Some(field), Value::Object(map)) = (name.strip_prefix("f:"), &mut *value) {
        map.remove(field);
    }
    if let (Some(key), Value::Array(list)) = (name.strip_prefix("k:"), &mut *value) {
        list.retain(|element| !has_key(element, key));
    }
    if let (Some(text), Value::Array(list)) = (name.strip_prefix("v:"), value)
        && let Ok(gone) = serde_json::from_str::<Value>(text)
    {
        list.retain(|element| *element != gone);
    }
}

fn has_key(element: &Value, key: &str) -> bool {
    let Ok(Value::Object(key)) = serde_json::from_str(key) else {
        return false;
    };
    key.iter()
        .all(|(name, value)| element.get(name) == Some(value))
}

/// A step as people read it.
fn shown(name: &str) -> String {
    if let Some(field) = name.strip_prefix("f:") {
        return format!(".{field}");
    }
    let key = name.strip_prefix("k:").map(serde_json::from_str);
    match key {
        Some(Ok(Value::Object(key))) => {
            let pairs: Vec<_> = key
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("[{}]", pairs.join(","))
        }
        _ => format!("[={}]", name.trim_start_matches("v:")),
    }
}
