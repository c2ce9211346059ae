//! Server-side apply.
//!
//! Coarse beside Kubernetes: what one manager applied is remembered field by field, so that
//! managers that apply find their conflicts and what they no longer want goes; writers that do
//! not apply own nothing, so that nobody conflicts with them.

use discovery::serve::kube::{
    Status,
    status::{Cause, Details},
};
use serde_json::{Value, json};

use super::{ownership, strategic};
use crate::apiserver::admit::now;

/// What one manager wants of an object.
#[derive(Debug, Clone)]
pub(in crate::apiserver) struct Application {
    pub(in crate::apiserver) config: Value,
    pub(in crate::apiserver) manager: String,
    /// Take fields from their owners.
    pub(in crate::apiserver) force: bool,
}

impl Application {
    /// What it makes of an object.
    ///
    /// # Errors
    /// When another manager wants other values, unless forced.
    pub(super) fn on(&self, mut live: Value) -> Result<Value, Status> {
        let fields = ownership::fields(&self.config);
        let mut entries = take_entries(&mut live);
        let mine =
            |entry: &Value| entry["manager"] == self.manager && entry["operation"] == "Apply";
        let before = entries.iter().position(mine).map(|at| entries.remove(at));
        self.settle(&mut entries, &fields, &live)?;
        if let Some(before) = &before {
            let others = entries.iter().map(|entry| &entry["fieldsV1"]);
            let kept: Vec<&Value> = others.chain([&fields]).collect();
            ownership::abandon(&mut live, &before["fieldsV1"], &kept);
        }
        let mut config = self.config.clone();
        if let Some(metadata) = config["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let mut made = strategic::merged(live, &config);
        let time = match &before {
            Some(before) if before["fieldsV1"] == fields => before["time"].clone(),
            _ => json!(now()),
        };
        entries.push(json!({
            "manager": self.manager,
            "operation": "Apply",
            "apiVersion": self.config["apiVersion"],
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }));
        made["metadata"]["managedFields"] = json!(entries);
        Ok(made)
    }

    /// Finds contradictions with other managers: an error, or their loss.
    fn settle(&self, entries: &mut Vec<Value>, fields: &Value, live: &Value) -> Result<(), Status> {
        let mut causes = Vec::new();
        for entry in entries.iter_mut() {
            let theirs = &entry["fieldsV1"];
            let found = ownership::contradictions(theirs, fields, live, &self.config);
            let manager = entry["manager"].as_str().unwrap_or_default().to_owned();
            if self.force && !found.is_empty() {
                let mut left = entry["fieldsV1"].take();
                subtract(&mut left, fields);
                entry["fieldsV1"] = left;
            }
            causes.extend(found.into_iter().map(|field| Cause {
                reason: "FieldManagerConflict",
                message: format!("conflict with \"{manager}\""),
                field,
            }));
        }
        entries.retain(|entry| {
            entry["fieldsV1"]
                .as_object()
                .is_none_or(|left| !left.is_empty())
        });
        match causes.is_empty() || self.force {
            true => Ok(()),
            false => Err(conflict(causes)),
        }
    }
}

fn take_entries(live: &mut Value) -> Vec<Value> {
    let entries = live["metadata"].as_object_mut();
    match entries.and_then(|metadata| metadata.remove("managedFields")) {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    }
}

/// Takes the leaves of `taken` out of `tree`.
fn subtract(tree: &mut Value, taken: &Value) {
    let (Some(tree), Some(taken)) = (tree.as_object_mut(), taken.as_object()) else {
        return;
    };
    tree.retain(|name, below| match taken.get(name) {
        None => true,
        Some(taken) if taken.as_object().is_some_and(|taken| taken.is_empty()) => name == ".",
        Some(taken) => {
            subtract(below, taken);
            below
                .as_object()
                .is_some_and(|below| below.keys().any(|name| name != "."))
        }
    });
}

fn conflict(causes: Vec<Cause>) -> Status {
    let texts: Vec<_> = causes
        .iter()
        .map(|cause| format!("{}: {}", cause.message, cause.field))
        .collect();
    let message = match causes.len() {
        1 => format!("Apply failed with 1 conflict: {}", texts[0]),
        many => format!("Apply failed with {many} conflicts: {}", texts.join("\n")),
    };
    Status::failure(409, "Conflict", message).with(Details {
        causes,
        ..Details::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(live: Value, manager: &str, force: bool, config: Value) -> Result<Value, String> {
        let application = Application {
            config,
            manager: manager.to_owned(),
            force,
        };
        application
            .on(live)
            .map_err(|status| status.message().to_owned())
    }

    fn map(data: Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x" }, "data": data })
    }

    #[test]
    fn what_a_manager_no_longer_wants_goes_unless_another_wants_it_too() {
        let live = apply(
            json!({}),
            "me",
            false,
            map(json!({ "a": "1", "b": "2", "c": "3" })),
        )
        .unwrap();
        let live = apply(live, "you", false, map(json!({ "b": "2" }))).unwrap();
        let live = apply(live, "me", false, map(json!({ "a": "1" }))).unwrap();
        assert_eq!(live["data"], json!({ "a": "1", "b": "2" }));
        assert_eq!(
            live["metadata"]["managedFields"].as_array().unwrap().len(),
            2
        );
    }

    #[test]
    fn managers_that_disagree_conflict_unless_one_forces() {
        let live = apply(json!({}), "me", false, map(json!({ "x": "y" }))).unwrap();
        let other = map(json!({ "x": "z" }));
        let why = apply(live.clone(), "you", false, other.clone()).unwrap_err();
        assert_eq!(
            why,
            "Apply failed with 1 conflict: conflict with \"me\": .data.x"
        );
        let live = apply(live, "you", true, other).unwrap();
        assert_eq!(live["data"]["x"], "z");
        let entries = live["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!((entries.len(), &entries[0]["manager"]), (1, &json!("you")));
    }

    #[test]
    fn elements_of_lists_belong_to_who_applied_them() {
        let pod = |containers: Value| {
            json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "x" }, "spec": { "containers": containers } })
        };
        let live = json!({ "spec": { "containers": [{ "name": "other", "image": "o" }] } });
        let both = json!([{ "name": "a", "image": "1" }, { "name": "b", "image": "2" }]);
        let live = apply(live, "me", false, pod(both)).unwrap();
        let live = apply(
            live,
            "me",
            false,
            pod(json!([{ "name": "b", "image": "3" }])),
        )
        .unwrap();
        assert_eq!(
            live["spec"]["containers"],
            json!([
                { "name": "b", "image": "3" }, { "name": "other", "image": "o" },
            ])
        );
    }
}
