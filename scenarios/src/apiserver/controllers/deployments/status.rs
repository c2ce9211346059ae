//! What a Deployment's status says.

use serde_json::{Map, Value, json};

use super::{HASH, number, template_hash};
use crate::apiserver::admit::now;

/// The status of a Deployment with these ReplicaSets.
pub(super) fn of(deployment: &Map<String, Value>, sets: &[Map<String, Value>]) -> Value {
    let hash = template_hash(&deployment["spec"]["template"]);
    let sum = |pointer: &str| sets.iter().map(|set| number(set, pointer)).sum::<i64>();
    let new = sets
        .iter()
        .find(|set| set["metadata"]["labels"][HASH] == hash.as_str());
    let updated = new.map_or(0, |set| number(set, "/status/replicas"));
    let wanted = number(deployment, "/spec/replicas");
    let (all, ready) = (sum("/status/replicas"), sum("/status/readyReplicas"));
    let available = sum("/status/availableReplicas");
    let mut status = json!({
        "observedGeneration": number(deployment, "/metadata/generation"),
        "terminatingReplicas": sum("/status/terminatingReplicas"),
    });
    let missing = (sum("/spec/replicas").max(wanted) - available).max(0);
    for (name, count) in [
        ("replicas", all),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", available),
        ("unavailableReplicas", missing),
    ] {
        if count > 0 {
            status[name] = json!(count);
        }
    }
    let allowed = allowed(deployment, wanted);
    let name = new.map_or("", |set| {
        set["metadata"]["name"].as_str().unwrap_or_default()
    });
    let done = updated == wanted && all == wanted && available == wanted;
    status["conditions"] = json!([
        availability(available >= wanted - allowed),
        progress(done, name)
    ]);
    status
}

/// How many pods may be missing.
fn allowed(deployment: &Map<String, Value>, wanted: i64) -> i64 {
    let allowed = &deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"];
    let percent = allowed
        .as_str()
        .and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    match percent {
        Some(percent) => wanted * percent / 100,
        None => allowed.as_i64().unwrap_or_default(),
    }
}

fn availability(enough: bool) -> Value {
    let (reason, message) = match enough {
        true => (
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        ),
        false => (
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        ),
    };
    condition("Available", enough, reason, message)
}

fn progress(done: bool, set: &str) -> Value {
    let (reason, what) = match done {
        true => ("NewReplicaSetAvailable", "has successfully progressed"),
        false => ("ReplicaSetUpdated", "is progressing"),
    };
    condition(
        "Progressing",
        true,
        reason,
        &format!("ReplicaSet \"{set}\" {what}."),
    )
}

/// The same, with the times of conditions that have not changed.
pub(super) fn kept_times(before: &Value, mut status: Value) -> Value {
    let known = |kind: &Value| {
        let mut all = before["conditions"].as_array().into_iter().flatten();
        all.find(|condition| condition["type"] == *kind)
    };
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let Some(old) = known(&condition["type"]) else {
            continue;
        };
        if old["status"] == condition["status"] {
            condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
        }
        if old["status"] == condition["status"] && old["reason"] == condition["reason"] {
            condition["lastUpdateTime"] = old["lastUpdateTime"].clone();
        }
    }
    status
}

fn condition(kind: &str, holds: bool, reason: &str, message: &str) -> Value {
    let time = now();
    json!({
        "type": kind,
        "status": if holds { "True" } else { "False" },
        "lastUpdateTime": time,
        "lastTransitionTime": time,
        "reason": reason,
        "message": message,
    })
}
