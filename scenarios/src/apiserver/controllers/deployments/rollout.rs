//! From one template to the next: how many pods each ReplicaSet shall have now.

use serde_json::{Map, Value, json};

use super::{HASH, REVISION, event, new_set, number, own_sets, revision, template_hash, text};
use crate::apiserver::{
    admit::Part,
    kind::Kind,
    state::{State, Write},
};

/// Takes the next step of a Deployment.
pub(super) fn advance(
    state: &State,
    (deployments, sets): (&Kind, &Kind),
    deployment: &Map<String, Value>,
) {
    let hash = template_hash(&deployment["spec"]["template"]);
    let own = own_sets(state, sets, deployment);
    let is_new = |set: &Map<String, Value>| set["metadata"]["labels"][HASH] == hash.as_str();
    let last = own.iter().map(revision).max().unwrap_or_default();
    let wanted = match own.iter().find(|set| is_new(set)) {
        Some(new) if revision(new) == last => last,
        _ => last + 1,
    };
    if !own.iter().any(is_new) {
        begin(state, (deployments, sets), deployment, (&hash, wanted));
    }
    note_revision(state, deployments, deployment, wanted);
    let own = own_sets(state, sets, deployment);
    let Some(new) = own.iter().find(|set| is_new(set)) else {
        return;
    };
    let old: Vec<_> = own.iter().filter(|set| !is_new(set)).collect();
    let plan = Plan::of(deployment);
    let new_size = plan.new_size(
        &count(new),
        &old.iter().map(|set| count(set)).collect::<Vec<_>>(),
    );
    resize(
        state,
        (deployments, sets),
        deployment,
        new,
        new_size,
        Some(wanted),
    );
    let mut spare = plan.spare(
        &count(new),
        &old.iter().map(|set| count(set)).collect::<Vec<_>>(),
    );
    for set in old.iter().rev() {
        let size = count(set);
        let less = spare.min(size.wanted).max(0);
        spare -= less;
        if less > 0 {
            resize(
                state,
                (deployments, sets),
                deployment,
                set,
                size.wanted - less,
                None,
            );
        }
    }
}

/// Makes the ReplicaSet of a new template, as large as it may be at once.
fn begin(
    state: &State,
    (deployments, sets): (&Kind, &Kind),
    deployment: &Map<String, Value>,
    (hash, revision): (&str, i64),
) {
    let plan = Plan::of(deployment);
    let old: Vec<Count> = own_sets(state, sets, deployment)
        .iter()
        .map(count)
        .collect();
    let size = plan.new_size(&Count::default(), &old);
    let mut set = new_set(deployments, deployment, hash, revision);
    set["spec"]["replicas"] = json!(size);
    plan.note(&mut set);
    let namespace = text(deployment, "/metadata/namespace");
    // Somebody else's set of that name is in the way until they remove it.
    if let Ok(made) = state.create(sets, Some(namespace), set, Write::Keep)
        && size > 0
    {
        let message = format!("Scaled up replica set {} from 0 to {size}", made.name());
        event::tell(state, (deployments, deployment), SCALED, &message);
    }
}

/// What a Deployment allows on the way.
#[derive(Debug, Clone, Copy)]
struct Plan {
    wanted: i64,
    /// Pods beyond what is wanted.
    surge: i64,
    /// Pods below what is wanted that may be missing.
    missing: i64,
    /// Old pods end before new ones begin.
    recreate: bool,
}

/// The pods of one ReplicaSet.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    wanted: i64,
    found: i64,
    available: i64,
}

impl Plan {
    fn of(deployment: &Map<String, Value>) -> Self {
        let wanted = number(deployment, "/spec/replicas");
        let strategy = &deployment["spec"]["strategy"];
        let rolling = &strategy["rollingUpdate"];
        let surge = share(&rolling["maxSurge"], wanted, true);
        let mut missing = share(&rolling["maxUnavailable"], wanted, false);
        if surge == 0 && missing == 0 {
            missing = 1;
        }
        Self {
            wanted,
            surge,
            missing,
            recreate: strategy["type"] == "Recreate",
        }
    }

    /// A set says what it is a part of.
    fn note(&self, set: &mut Map<String, Value>) {
        let notes = &mut set["metadata"]["annotations"];
        notes["deployment.kubernetes.io/desired-replicas"] = json!(self.wanted.to_string());
        notes["deployment.kubernetes.io/max-replicas"] =
            json!((self.wanted + self.surge).to_string());
    }

    /// How many pods the newest set shall have.
    fn new_size(&self, new: &Count, old: &[Count]) -> i64 {
        if self.recreate {
            let gone = old.iter().all(|old| old.found == 0);
            return if gone { self.wanted } else { new.wanted };
        }
        if new.wanted >= self.wanted {
            return self.wanted;
        }
        let all: i64 = new.wanted + old.iter().map(|old| old.wanted).sum::<i64>();
        let room = (self.wanted + self.surge - all).max(0);
        (new.wanted + room).min(self.wanted)
    }

    /// How many old pods may go now.
    fn spare(&self, new: &Count, old: &[Count]) -> i64 {
        let kept: i64 = old.iter().map(|old| old.wanted).sum();
        if self.recreate {
            return kept;
        }
        let all = new.wanted + kept;
        let fewest = self.wanted - self.missing;
        let not_yet = (new.wanted - new.available).max(0);
        // Old pods that are not available are missed by nobody.
        let useless: i64 = old
            .iter()
            .map(|old| (old.wanted - old.available).max(0))
            .sum();
        let can = all - fewest - not_yet;
        can.max(useless.min(kept)).min(kept).max(0)
    }
}

fn count(set: &Map<String, Value>) -> Count {
    Count {
        wanted: number(set, "/spec/replicas"),
        found: number(set, "/status/replicas") + number(set, "/status/terminatingReplicas"),
        available: number(set, "/status/availableReplicas"),
    }
}

/// A number, or a share of `wanted`.
fn share(value: &Value, wanted: i64, up: bool) -> i64 {
    let percent = value
        .as_str()
        .and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    match percent {
        Some(percent) if up => (wanted * percent + 99) / 100,
        Some(percent) => wanted * percent / 100,
        None => value.as_i64().unwrap_or_default(),
    }
}

fn note_revision(
    state: &State,
    deployments: &Kind,
    deployment: &Map<String, Value>,
    revision: i64,
) {
    let key = format!(
        "{}/{}",
        text(deployment, "/metadata/namespace"),
        text(deployment, "/metadata/name")
    );
    let make = |mut object: Map<String, Value>| {
        object["metadata"]["annotations"][REVISION] = json!(revision.to_string());
        Ok(object)
    };
    // A Deployment that is gone needs none.
    let _ = state.change(deployments, &key, Part::Main, Write::Keep, make);
}

fn resize(
    state: &State,
    (deployments, sets): (&Kind, &Kind),
    deployment: &Map<String, Value>,
    set: &Map<String, Value>,
    size: i64,
    revision: Option<i64>,
) {
    let (namespace, name) = (
        text(set, "/metadata/namespace"),
        text(set, "/metadata/name"),
    );
    let before = number(set, "/spec/replicas");
    let plan = Plan::of(deployment);
    let make = |mut set: Map<String, Value>| {
        set["spec"]["replicas"] = json!(size);
        plan.note(&mut set);
        if let Some(revision) = revision {
            set["metadata"]["annotations"][REVISION] = json!(revision.to_string());
        }
        Ok(set)
    };
    let key = format!("{namespace}/{name}");
    let changed = state.change(sets, &key, Part::Main, Write::Keep, make);
    if changed.is_ok() && before != size {
        let way = if size > before { "up" } else { "down" };
        let message = format!("Scaled {way} replica set {name} from {before} to {size}");
        event::tell(state, (deployments, deployment), SCALED, &message);
    }
}

const SCALED: (&str, &str) = ("deployment-controller", "ScalingReplicaSet");

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        wanted: 4,
        surge: 1,
        missing: 1,
        recreate: false,
    };

    fn count(wanted: i64, available: i64) -> Count {
        Count {
            wanted,
            found: wanted,
            available,
        }
    }

    #[test]
    fn a_rollout_ends_with_the_new_template_and_never_has_too_few_or_too_many() {
        let (mut new, mut old) = (count(0, 0), count(4, 4));
        for _ in 0..20 {
            new.wanted = PLAN.new_size(&new, &[old]);
            old.wanted -= PLAN.spare(&new, &[old]);
            old.available = old.available.min(old.wanted);
            assert!(new.wanted + old.wanted <= 5, "{new:?} {old:?}");
            assert!(new.available + old.available >= 3, "{new:?} {old:?}");
            new.available = new.wanted.min(new.available + 1);
        }
        assert_eq!((new.wanted, old.wanted), (4, 0));
    }

    #[test]
    fn a_new_template_that_never_gets_ready_leaves_the_old_one_serving() {
        let (mut new, mut old) = (count(0, 0), count(4, 4));
        for _ in 0..20 {
            new.wanted = PLAN.new_size(&new, &[old]);
            old.wanted -= PLAN.spare(&new, &[old]);
            old.available = old.wanted;
        }
        assert_eq!((new.wanted, old.wanted), (2, 3));
    }

    #[test]
    fn shares_of_pods_are_rounded_as_kubernetes_rounds_them() {
        assert_eq!(share(&json!("25%"), 3, true), 1);
        assert_eq!(share(&json!("25%"), 3, false), 0);
        assert_eq!(share(&json!(2), 3, true), 2);
    }
}
