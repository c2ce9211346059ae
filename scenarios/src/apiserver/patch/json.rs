//! JSON patch (RFC 6902).

use discovery::serve::kube::{Status, status::Details};
use serde::Deserialize;
use serde_json::Value;

/// One step of a patch.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(in crate::apiserver) enum Step {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

/// What `steps` make of `value`.
///
/// # Errors
/// When a step does not fit: 422, as Kubernetes.
pub(super) fn patched(mut value: Value, steps: &[Step]) -> Result<Value, Status> {
    for step in steps {
        take(&mut value, step).ok_or_else(refused)?;
    }
    Ok(value)
}

fn take(root: &mut Value, step: &Step) -> Option<()> {
    match step {
        Step::Add { path, value } => add(root, path, value.clone()),
        Step::Remove { path } => remove(root, path).map(drop),
        Step::Replace { path, value } => {
            *root.pointer_mut(path)? = value.clone();
            Some(())
        }
        Step::Move { from, path } => {
            let value = remove(root, from)?;
            add(root, path, value)
        }
        Step::Copy { from, path } => {
            let value = root.pointer(from)?.clone();
            add(root, path, value)
        }
        Step::Test { path, value } => (root.pointer(path)? == value).then_some(()),
    }
}

fn add(root: &mut Value, path: &str, value: Value) -> Option<()> {
    let Some((parent, last)) = split(path) else {
        *root = value;
        return Some(());
    };
    match root.pointer_mut(parent)? {
        Value::Object(map) => {
            map.insert(last, value);
        }
        Value::Array(list) if last == "-" => list.push(value),
        Value::Array(list) => {
            let at: usize = last.parse().ok().filter(|at| *at <= list.len())?;
            list.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(root: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = split(path)?;
    match root.pointer_mut(parent)? {
        Value::Object(map) => map.remove(&last),
        Value::Array(list) => {
            let at: usize = last.parse().ok().filter(|at| *at < list.len())?;
            Some(list.remove(at))
        }
        _ => None,
    }
}

/// The parent of a path, and the last name.
fn split(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn refused() -> Status {
    let message = "the server rejected our request due to an error in our request";
    Status::failure(422, "Invalid", message).with(Details::default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patch(value: Value, steps: Value) -> Option<Value> {
        let steps: Vec<Step> = serde_json::from_value(steps).unwrap();
        patched(value, &steps).ok()
    }

    #[test]
    fn steps_are_taken_in_order_and_one_that_does_not_fit_refuses_all() {
        let value = json!({ "a": [1, 2], "b": { "x/y": 1 } });
        let steps = json!([
            { "op": "add", "path": "/a/1", "value": 9 },
            { "op": "add", "path": "/a/-", "value": 3 },
            { "op": "test", "path": "/b/x~1y", "value": 1 },
            { "op": "move", "from": "/b/x~1y", "path": "/c" },
            { "op": "copy", "from": "/c", "path": "/d" },
            { "op": "replace", "path": "/d", "value": "z" },
            { "op": "remove", "path": "/a/0" },
        ]);
        let made = patch(value.clone(), steps).unwrap();
        assert_eq!(made, json!({ "a": [9, 2, 3], "b": {}, "c": 1, "d": "z" }));
        for wrong in [
            json!([{ "op": "remove", "path": "/zzz" }]),
            json!([{ "op": "test", "path": "/a/0", "value": 5 }]),
            json!([{ "op": "add", "path": "/a/7", "value": 5 }]),
            json!([{ "op": "replace", "path": "/n/m", "value": 5 }]),
        ] {
            assert_eq!(patch(value.clone(), wrong), None);
        }
    }
}
