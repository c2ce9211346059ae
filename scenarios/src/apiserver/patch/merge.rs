//! JSON merge patch (RFC 7386).

use serde_json::{Map, Value};

/// What `patch` makes of `value`.
pub(super) fn merged(value: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut object = match value {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    for (name, patch) in patch {
        if patch.is_null() {
            object.remove(name);
        } else {
            let old = object.remove(name).unwrap_or_default();
            object.insert(name.clone(), merged(old, patch));
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_removes_objects_merge_and_the_rest_is_replaced() {
        let value = json!({ "a": 1, "b": { "c": 2, "d": [1] }, "e": "x" });
        let patch = json!({ "a": null, "b": { "c": 3, "d": [2, 3], "n": { "m": null } }, "e": {} });
        let made = merged(value, &patch);
        assert_eq!(
            made,
            json!({ "b": { "c": 3, "d": [2, 3], "n": {} }, "e": {} })
        );
    }
}
