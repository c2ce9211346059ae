//! Deployments: a ReplicaSet for each template, the last one in use.

mod rollout;
mod status;

use serde_json::{Map, Value, json};

use super::{belongs, event, number, owner, text};
use crate::apiserver::{
    admit::Part,
    kind::Kind,
    state::{State, Write},
};

/// Makes ReplicaSets what Deployments say.
pub(super) fn settle(state: &State) {
    let (deployments, sets) = (
        state.registry.builtin("apps", "deployments"),
        state.registry.builtin("apps", "replicasets"),
    );
    for deployment in state.memory.all(&deployments.resource) {
        let object = deployment.object();
        if !text(&object, "/metadata/deletionTimestamp").is_empty() {
            continue;
        }
        let kinds = (&*deployments, &*sets);
        rollout::advance(state, kinds, &object);
        let own = own_sets(state, &sets, &object);
        let told = status::of(&object, &own);
        let make = |mut before: Map<String, Value>| {
            before.insert(
                "status".to_owned(),
                status::kept_times(&before["status"], told),
            );
            Ok(before)
        };
        // A Deployment that is gone has no status.
        let _ = state.change(
            &deployments,
            deployment.key(),
            Part::Status,
            Write::Keep,
            make,
        );
    }
}

/// The ReplicaSets of a Deployment, the newest first.
fn own_sets(
    state: &State,
    sets: &Kind,
    deployment: &Map<String, Value>,
) -> Vec<Map<String, Value>> {
    let (namespace, uid) = (
        text(deployment, "/metadata/namespace"),
        text(deployment, "/metadata/uid"),
    );
    let all = state.memory.all(&sets.resource).into_iter();
    let here = all
        .filter(|set| set.namespace() == namespace)
        .map(|set| set.object());
    let mut own: Vec<_> = here.filter(|set| belongs(set, uid)).collect();
    own.sort_by_key(|set| std::cmp::Reverse(revision(set)));
    own
}

fn revision(object: &Map<String, Value>) -> i64 {
    let annotations = &object["metadata"]["annotations"];
    annotations[REVISION]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// What tells templates apart: a short text of safe signs.
fn template_hash(template: &Value) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in template.to_string().bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    let signs = b"bcdfghjklmnpqrstvwxz2456789";
    let digits = hash.to_string();
    digits
        .bytes()
        .map(|digit| char::from(signs[usize::from(digit) % signs.len()]))
        .collect()
}

/// A new ReplicaSet of a Deployment, with no pods yet.
fn new_set(
    deployments: &Kind,
    deployment: &Map<String, Value>,
    hash: &str,
    revision: i64,
) -> Map<String, Value> {
    let name = text(deployment, "/metadata/name");
    let mut template = deployment["spec"]["template"].clone();
    let mut selector = deployment["spec"]["selector"].clone();
    template["metadata"]["labels"][HASH] = json!(hash);
    selector["matchLabels"][HASH] = json!(hash);
    let set = json!({
        "metadata": {
            "name": format!("{name}-{hash}"),
            "labels": template["metadata"]["labels"],
            "annotations": { REVISION: revision.to_string() },
            "ownerReferences": owner(deployments, deployment),
        },
        "spec": { "replicas": 0, "selector": selector, "template": template },
    });
    match set {
        Value::Object(set) => set,
        _ => Map::new(),
    }
}

const REVISION: &str = "deployment.kubernetes.io/revision";
const HASH: &str = "pod-template-hash";
