//! What a pod's row says.

use discovery::serve::kube::column::at;
use serde_json::{Map, Value};

use super::text::{array, one};

type Object = Map<String, Value>;

/// Ready containers of all.
pub(super) fn ready(pod: &Object) -> String {
    let statuses = array(pod, "/status/containerStatuses");
    let ready = statuses
        .iter()
        .filter(|status| status["ready"] == true)
        .count();
    format!("{ready}/{}", array(pod, "/spec/containers").len())
}

/// The phase, or what says more than it.
pub(super) fn status(pod: &Object) -> String {
    if at(pod, "/metadata/deletionTimestamp").is_some() {
        return "Terminating".to_owned();
    }
    let mut said = match one(pod, "/status/reason") {
        "" => one(pod, "/status/phase").to_owned(),
        reason => reason.to_owned(),
    };
    for status in array(pod, "/status/containerStatuses").iter().rev() {
        let state = &status["state"];
        let why = ["waiting", "terminated"].map(|name| state[name]["reason"].as_str());
        if let Some(reason) = why.into_iter().flatten().find(|reason| !reason.is_empty()) {
            reason.clone_into(&mut said);
        }
    }
    said
}

/// Restarts of all containers.
pub(super) fn restarts(pod: &Object) -> String {
    let statuses = array(pod, "/status/containerStatuses").iter();
    let all: i64 = statuses
        .filter_map(|status| status["restartCount"].as_i64())
        .sum();
    all.to_string()
}
