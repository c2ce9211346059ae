//! Strategic merge patch: merge patch that knows what tells elements of lists apart.

use serde_json::{Map, Value};

use super::lists::{List, list_at};

/// What `patch` makes of `value`.
pub(super) fn merged(value: Value, patch: &Value) -> Value {
    at(value, patch, &mut Vec::new())
}

fn at<'a>(value: Value, patch: &'a Value, path: &mut Vec<&'a str>) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut object = match (patch.get("$patch").and_then(Value::as_str), value) {
        (Some("replace"), _) => return Value::Object(without_directives(patch)),
        (Some("delete"), _) => return Value::Object(Map::new()),
        (_, Value::Object(object)) => object,
        _ => Map::new(),
    };
    retain(&mut object, patch);
    for (name, patched) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        path.push(name);
        let old = object.remove(name).unwrap_or_default();
        if !patched.is_null() {
            let new = match (patched, list_at(path)) {
                (Value::Array(new), kind @ (List::Set | List::By(_))) => {
                    let live = old.as_array().cloned().unwrap_or_default();
                    let merged = list(old, new, kind, path);
                    let order = patch.get(&format!("$setElementOrder/{name}"));
                    let wanted = order.and_then(Value::as_array).unwrap_or(new);
                    Value::Array(ordered(merged, wanted, &live, kind))
                }
                _ => at(old, patched, path),
            };
            object.insert(name.clone(), new);
        }
        path.pop();
    }
    for (name, directive) in patch {
        if let Some(name) = name.strip_prefix("$deleteFromPrimitiveList/") {
            take_out(object.get_mut(name), directive);
        }
        if let Some(name) = name.strip_prefix("$setElementOrder/")
            && !patch.contains_key(name)
            && let (Some(Value::Array(list)), Value::Array(wanted)) =
                (object.get_mut(name), directive)
        {
            path.push(name);
            let live = list.clone();
            *list = ordered(std::mem::take(list), wanted, &live, list_at(path));
            path.pop();
        }
    }
    Value::Object(object)
}

/// Merges the elements of a list.
fn list<'a>(old: Value, new: &'a [Value], kind: List, path: &mut Vec<&'a str>) -> Vec<Value> {
    if new
        .iter()
        .any(|element| element["$patch"] == "replace" && is_bare(element))
    {
        let rest = new.iter().filter(|element| element["$patch"] != "replace");
        return rest.cloned().collect();
    }
    let mut elements = match old {
        Value::Array(elements) => elements,
        _ => Vec::new(),
    };
    for patch in new {
        let found = elements
            .iter()
            .position(|element| same(element, patch, kind));
        match (kind, found, patch["$patch"].as_str()) {
            (_, Some(found), Some("delete")) => {
                elements.remove(found);
            }
            (_, None, Some("delete")) | (List::Set, Some(_), _) => {}
            (_, Some(found), _) => {
                elements[found] = at(elements[found].take(), patch, path);
            }
            (_, None, _) => elements.push(at(Value::Null, patch, path)),
        }
    }
    elements
}

fn same(element: &Value, other: &Value, kind: List) -> bool {
    match kind {
        List::By(key) => !other[key].is_null() && element[key] == other[key],
        _ => element == other,
    }
}

/// Whether it is nothing but a directive.
fn is_bare(element: &Value) -> bool {
    element.as_object().is_some_and(|map| map.len() == 1)
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    let plain = patch.iter().filter(|(name, _)| !name.starts_with('$'));
    plain
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// `$retainKeys`: of a union, what is not named goes.
fn retain(object: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if let Some(Value::Array(names)) = patch.get("$retainKeys") {
        object.retain(|name, _| names.iter().any(|kept| kept == name));
    }
}

fn take_out(list: Option<&mut Value>, gone: &Value) {
    if let (Some(Value::Array(list)), Value::Array(gone)) = (list, gone) {
        list.retain(|element| !gone.contains(element));
    }
}

/// Elements that a writer names, in the writer's order; the others are put between them, each
/// before the first that comes behind it in the object as it was.
fn ordered(elements: Vec<Value>, wanted: &[Value], live: &[Value], kind: List) -> Vec<Value> {
    let place =
        |list: &[Value], element: &Value| list.iter().position(|other| same(other, element, kind));
    let (mut named, others): (Vec<Value>, Vec<Value>) = elements
        .into_iter()
        .partition(|element| place(wanted, element).is_some());
    named.sort_by_key(|element| place(wanted, element));
    let mut others = others.into_iter().peekable();
    let mut made = Vec::new();
    for element in named {
        let before = place(live, &element);
        while let Some(other) = others.next_if(|other| {
            before.is_some_and(|before| place(live, other).is_some_and(|at| at < before))
        }) {
            made.push(other);
        }
        made.push(element);
    }
    made.extend(others);
    made
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_are_merged_by_key_as_kubectl_apply_sends_them() {
        let value = json!({ "spec": { "replicas": 1, "template": { "spec": { "containers": [
            { "name": "a", "image": "x:1", "env": [{ "name": "A", "value": "1" }] },
            { "name": "b", "image": "y:1", "ports": [{ "containerPort": 80, "protocol": "TCP" }] },
        ] } } } });
        let patch = json!({ "spec": { "replicas": null, "template": { "spec": {
            "$setElementOrder/containers": [{ "name": "c" }, { "name": "a" }],
            "containers": [
                { "name": "a", "image": "x:2", "env": [{ "name": "B", "value": "2" }] },
                { "name": "b", "$patch": "delete" },
                { "name": "c", "image": "z:1" },
            ],
        } } } });
        let made = json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "c", "image": "z:1" },
            { "name": "a", "image": "x:2", "env": [
                { "name": "B", "value": "2" }, { "name": "A", "value": "1" },
            ] },
        ] } } } });
        assert_eq!(merged(value, &patch), made);
    }

    #[test]
    fn directives_replace_delete_retain_and_take_out() {
        let value = json!({
            "metadata": { "finalizers": ["a", "b"], "labels": { "x": "1", "y": "2" } },
            "spec": { "strategy": { "type": "RollingUpdate", "rollingUpdate": {} },
                      "tolerations": [{ "key": "k" }], "ports": [{ "port": 1 }] },
        });
        let patch = json!({
            "metadata": { "$deleteFromPrimitiveList/finalizers": ["a"],
                          "labels": { "$patch": "replace", "z": "3" } },
            "spec": { "strategy": { "$retainKeys": ["type"], "type": "Recreate" },
                      "tolerations": [{ "key": "n" }],
                      "ports": [{ "$patch": "replace" }, { "port": 2 }] },
        });
        let made = json!({
            "metadata": { "finalizers": ["b"], "labels": { "z": "3" } },
            "spec": { "strategy": { "type": "Recreate" }, "tolerations": [{ "key": "n" }],
                      "ports": [{ "port": 2 }] },
        });
        assert_eq!(merged(value, &patch), made);
    }

    #[test]
    fn a_set_grows_and_keeps_what_it_has_behind_what_is_new() {
        let value = json!({ "metadata": { "finalizers": ["a"] } });
        let patch = json!({ "metadata": { "finalizers": ["b", "a"] } });
        assert_eq!(
            merged(value, &patch),
            json!({ "metadata": { "finalizers": ["b", "a"] } })
        );
    }
}
