//! Writes: create, change, delete, and what follows from each at once.

use std::sync::Arc;

use discovery::serve::kube::{Item, Status, Store, item::key, status::Details};
use serde_json::{Map, Value, json};

use super::{
    admit::{self, Part},
    builtin::EXTENSIONS,
    decode::{self, Unknown},
    kind::Kind,
    state::{State, Write},
    store::Fate,
};

/// How an object shall go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Deletion {
    /// Seconds that it may still have.
    pub(super) grace: Option<i64>,
    pub(super) uid: Option<String>,
    pub(super) version: Option<String>,
    /// What it owns stays.
    pub(super) orphan: bool,
    pub(super) tried: bool,
}

/// What became of an object that shall go.
#[derive(Debug)]
pub(super) struct Deleted {
    pub(super) last: Arc<Item>,
    /// It is still there, and somebody has to let it go.
    pub(super) waits: bool,
}

impl State {
    /// Creates an object of `kind` in the namespace of the path.
    ///
    /// # Errors
    /// What Kubernetes refuses.
    pub(super) fn create(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        object: Map<String, Value>,
        write: Write,
    ) -> Result<Arc<Item>, Status> {
        let mut object = admit::create(kind, object, namespace)?;
        if let Some(namespace) = namespace {
            self.welcome(kind, namespace)?;
        }
        match kind.resource.plural.as_str() {
            "services" if kind.is("services") => self.address(&mut object),
            "pods" if kind.is("pods") => self.locate(&mut object),
            "nodes" if kind.is("nodes") => taint(&mut object),
            _ => {}
        }
        if write == Write::Try {
            return Ok(Arc::new(Item::new(&kind.resource, object, 0)));
        }
        let made = self.memory.create(&kind.resource, object)?;
        self.follow(kind, &made);
        Ok(made)
    }

    /// Changes an object to what `make` says that it shall be. `make` gets it with kind and
    /// API version.
    ///
    /// # Errors
    /// What `make` or Kubernetes refuses.
    pub(super) fn change(
        &self,
        kind: &Kind,
        key: &str,
        part: Part,
        write: Write,
        make: impl FnOnce(Map<String, Value>) -> Result<Map<String, Value>, Status>,
    ) -> Result<Arc<Item>, Status> {
        let mut tried = None;
        let made = self.memory.change(&kind.resource, key, |item| {
            let before = item.object();
            let wanted = make(typed(kind, before.clone()))?;
            let mut fate = admit::change(kind, &before, wanted, part)?;
            if let (true, Fate::Becomes(object)) = (kind.is("services"), &mut fate) {
                self.address(object);
            }
            if let (Write::Try, Fate::Becomes(object) | Fate::Goes(object)) = (write, &fate) {
                tried = Some(Item::new(&kind.resource, object.clone(), item.version()));
                return Ok(Fate::Same);
            }
            Ok(fate)
        })?;
        if let Some(tried) = tried {
            return Ok(Arc::new(tried));
        }
        self.follow(kind, &made);
        Ok(made)
    }

    /// Deletes an object, or begins to.
    ///
    /// # Errors
    /// When it is not there, or another one.
    pub(super) fn delete(&self, kind: &Kind, key: &str, how: &Deletion) -> Result<Deleted, Status> {
        let mut waits = false;
        let last = self.memory.change(&kind.resource, key, |item| {
            check(kind, item, how)?;
            let fate = going(kind, item, how);
            waits = !matches!(fate, Fate::Goes(_));
            Ok(if how.tried { Fate::Same } else { fate })
        })?;
        if !waits && !how.tried {
            self.gone(kind, &last, how.orphan);
        }
        Ok(Deleted { last, waits })
    }

    /// Removes an object that has nothing left to wait for: what its kubelet or its
    /// controller does at the end.
    pub(super) fn remove(&self, kind: &Kind, key: &str, uid: &str) {
        let last = self.memory.change(&kind.resource, key, |item| {
            let object = item.object();
            let same = object["metadata"]["uid"] == uid;
            Ok(if same { Fate::Goes(object) } else { Fate::Same })
        });
        if let Ok(last) = last
            && self.memory.get(&kind.resource, key).is_none()
        {
            self.gone(kind, &last, false);
        }
    }

    /// A pod says in which zone its node is.
    fn locate(&self, pod: &mut Map<String, Value>) {
        let node = pod["spec"]["nodeName"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if !node.is_empty() {
            label(pod, self.core("nodes", "", &node).as_deref());
        }
    }

    /// Gives a pod its node; `false` when it has one.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn bind(&self, pods: &Kind, key: &str, node: &str) -> Result<bool, Status> {
        let mut bound = false;
        let place = self.core("nodes", "", node);
        self.memory.change(&pods.resource, key, |pod| {
            let mut object = pod.object();
            if object["spec"]["nodeName"].as_str().is_some_and(|name| !name.is_empty()) {
                return Ok(Fate::Same);
            }
            bound = true;
            object["spec"]["nodeName"] = json!(node);
            label(&mut object, place.as_deref());
            object["status"]["conditions"] = json!([{
                "type": "PodScheduled", "status": "True", "lastProbeTime": null,
                "lastTransitionTime": admit::now(), "observedGeneration": object["metadata"]["generation"],
            }]);
            Ok(Fate::Becomes(object))
        })?;
        Ok(bound)
    }

    /// Reads objects of YAML and keeps them, or makes those that are there the same.
    ///
    /// # Errors
    /// The first that is not understood or refused.
    pub(super) fn load(&self, object: Value) -> Result<(), Status> {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        let found = self.registry.of(&text("apiVersion"), &text("kind"));
        let kind = found.ok_or_else(|| {
            Status::bad_request(format!("no type {} {}", text("apiVersion"), text("kind")))
        })?;
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"]
            .as_str()
            .unwrap_or("default")
            .to_owned();
        let namespace = kind.resource.namespaced.then_some(namespace);
        let key = key(
            namespace.as_deref(),
            metadata["name"].as_str().unwrap_or_default(),
        );
        let object = decode::object(&kind, object, Unknown::Drop)?;
        let status = object.get("status").cloned();
        match self.memory.get(&kind.resource, &key) {
            None => self.create(&kind, namespace.as_deref(), object, Write::Keep)?,
            Some(_) => self.change(&kind, &key, Part::Main, Write::Keep, |_| Ok(object))?,
        };
        let Some(status) = status.filter(|_| kind.has_status) else {
            return Ok(());
        };
        let set = |mut found: Map<String, Value>| {
            found.insert("status".to_owned(), status);
            Ok(found)
        };
        self.change(&kind, &key, Part::Status, Write::Keep, set)
            .map(drop)
    }

    /// What follows from an object that is new or another one.
    fn follow(&self, kind: &Kind, made: &Item) {
        if !is_definition(kind) {
            return;
        }
        self.define();
        let accept = |mut object: Map<String, Value>| {
            let names = object["spec"]["names"].clone();
            if object["status"]["conditions"].is_null() {
                object["status"]["conditions"] = established();
            }
            object["status"]["acceptedNames"] = names;
            Ok(object)
        };
        // Nobody else refuses it: it was just kept.
        let _ = self.memory.change(&kind.resource, made.key(), |item| {
            let object = typed(kind, item.object());
            accept(object).map(Fate::Becomes)
        });
    }

    /// What follows from an object that is no more: what it owned goes too, or is nobody's.
    fn gone(&self, kind: &Kind, last: &Item, orphan: bool) {
        if is_definition(kind) {
            self.undefine(&last.object());
        }
        let object = last.object();
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        if uid.is_empty() || OWNS_NOTHING.iter().any(|plural| kind.is(plural)) {
            return;
        }
        for kind in self.registry.all() {
            for item in self.memory.all(&kind.resource) {
                if !item.metadata().contains(uid) || !owned(&item, uid) {
                    continue;
                }
                let left = match orphan {
                    true => self.memory.change(&kind.resource, item.key(), |item| {
                        Ok(Fate::Becomes(disowned(item, uid)))
                    }),
                    false => {
                        let deleted = self.delete(&kind, item.key(), &Deletion::default());
                        deleted.map(|deleted| deleted.last)
                    }
                };
                // Somebody else was faster: then it is gone.
                let _ = left;
            }
        }
    }

    /// The custom resources of a definition go with it.
    fn undefine(&self, definition: &Map<String, Value>) {
        let spec = &definition["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
        let all = self.registry.all();
        let of = all
            .iter()
            .find(|k| k.resource.group == group && k.resource.plural == plural);
        if let Some(kind) = of.filter(|kind| kind.is_custom()) {
            for item in self.memory.all(&kind.resource) {
                let goes = |item: &Item| Ok(Fate::Goes(item.object()));
                let _ = self.memory.change(&kind.resource, item.key(), goes);
            }
        }
        self.define();
    }
}

/// An object with its kind and API version.
pub(super) fn typed(kind: &Kind, mut object: Map<String, Value>) -> Map<String, Value> {
    object.insert("kind".to_owned(), json!(kind.resource.kind));
    object.insert("apiVersion".to_owned(), json!(kind.resource.api_version()));
    object
}

/// Labels a pod with the place of its node.
fn label(pod: &mut Map<String, Value>, node: Option<&Item>) {
    for name in [
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    ] {
        if let Some(value) = node.and_then(|node| node.label(name)) {
            pod["metadata"]["labels"][name] = json!(value);
        }
    }
}

/// A node that was just made is not ready for pods that care.
fn taint(node: &mut Map<String, Value>) {
    let taints = &mut node["spec"]["taints"];
    if taints.is_null() {
        *taints = json!([]);
    }
    if let Some(taints) = taints.as_array_mut() {
        let taint = json!({ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" });
        if !taints.iter().any(|known| known["key"] == taint["key"]) {
            taints.push(taint);
        }
    }
}

fn is_definition(kind: &Kind) -> bool {
    kind.is("customresourcedefinitions") && kind.resource.group == EXTENSIONS
}

fn check(kind: &Kind, item: &Item, how: &Deletion) -> Result<(), Status> {
    let object = item.object();
    let metadata = &object["metadata"];
    let differs = |said: &Option<String>, field: &str| {
        said.as_ref()
            .filter(|said| metadata[field].as_str() != Some(said))
            .cloned()
    };
    let details = Details {
        name: item.name().to_owned(),
        group: kind.resource.group.clone(),
        kind: kind.resource.kind.clone(),
        ..Details::default()
    };
    let is = |field: &str| metadata[field].as_str().unwrap_or_default();
    if let Some(said) = differs(&how.uid, "uid") {
        let why = format!(
            "the UID in the precondition ({said}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            is("uid")
        );
        return Err(Status::conflict(details, &why));
    }
    if let Some(said) = differs(&how.version, "resourceVersion") {
        let why = format!(
            "the ResourceVersion in the precondition ({said}) does not match the ResourceVersion in record ({}). The object might have been modified",
            is("resourceVersion")
        );
        return Err(Status::conflict(details, &why));
    }
    Ok(())
}

/// What becomes of an object that shall go: it goes, or waits for its kubelet, its finalizers
/// or, as a namespace, for its content.
fn going(kind: &Kind, item: &Item, how: &Deletion) -> Fate {
    let mut object = item.object();
    let grace = if kind.is("pods") {
        grace(&object, how)
    } else {
        0
    };
    let metadata = admit::metadata(&mut object);
    let held = !admit::finalizers(metadata).is_empty() || kind.is("namespaces");
    let already = metadata
        .get("deletionGracePeriodSeconds")
        .and_then(Value::as_i64);
    let marked = metadata.contains_key("deletionTimestamp");
    if marked && (held || already.is_some_and(|already| grace >= already && grace > 0)) {
        return Fate::Same;
    }
    let end = std::time::SystemTime::now()
        + std::time::Duration::from_secs(u64::try_from(grace).unwrap_or_default());
    let end = humantime::format_rfc3339_seconds(end).to_string();
    metadata.insert("deletionTimestamp".to_owned(), json!(end));
    if kind.is("namespaces") {
        object["status"]["phase"] = json!("Terminating");
        return Fate::Becomes(object);
    }
    metadata.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
    if kind.counted && !marked {
        let generation = metadata
            .get("generation")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        metadata.insert("generation".to_owned(), json!(generation + 1));
    }
    match held || grace > 0 {
        true => Fate::Becomes(object),
        false if kind.is("pods") => Fate::Goes(object),
        false => Fate::Goes(item.object()),
    }
}

/// How long a pod may still run: nothing is lost with one that no kubelet has, or that ended.
fn grace(pod: &Map<String, Value>, how: &Deletion) -> i64 {
    let placed = pod["spec"]["nodeName"]
        .as_str()
        .is_some_and(|node| !node.is_empty());
    let ended = matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    );
    if !placed || ended {
        return 0;
    }
    let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64();
    how.grace.or(own).unwrap_or(30).max(0)
}

fn owned(item: &Item, uid: &str) -> bool {
    let object = item.object();
    let mut owners = object["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten();
    owners.any(|owner| owner["uid"] == uid)
}

fn disowned(item: &Item, uid: &str) -> Map<String, Value> {
    let mut object = item.object();
    if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
        owners.retain(|owner| owner["uid"] != uid);
    }
    object
}

fn established() -> Value {
    let now = admit::now();
    json!([
        {
            "type": "NamesAccepted", "status": "True", "lastTransitionTime": now,
            "reason": "NoConflicts", "message": "no conflicts found",
        },
        {
            "type": "Established", "status": "True", "lastTransitionTime": now,
            "reason": "InitialNamesAccepted", "message": "the initial names have been accepted",
        },
    ])
}

/// Types whose objects own nothing: when one of many goes, nobody has to look.
const OWNS_NOTHING: [&str; 7] = [
    "pods",
    "events",
    "endpointslices",
    "leases",
    "configmaps",
    "secrets",
    "namespaces",
];
