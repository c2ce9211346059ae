//! All that one embedded cluster is: its objects, its types, its keys.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use discovery::serve::kube::{Item, Status, Store, item::key};
use serde_json::{Map, Value, json};

use super::{defaults::Addresses, kind::Kind, registry::Registry, store::Memory, token::Tokens};

/// Whether a write is kept or only tried (`dryRun`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Keep,
    Try,
}

/// One embedded cluster.
#[derive(Debug)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) memory: Arc<Memory>,
    pub(super) registry: Registry,
    pub(super) tokens: Tokens,
    /// Where it is reached, `https://address:port`.
    pub(super) url: String,
    addresses: Mutex<Addresses>,
}

impl State {
    pub(super) fn new(name: &str, url: &str, history: usize) -> Result<Self> {
        let state = Self {
            name: name.to_owned(),
            memory: Arc::new(Memory::new(history)),
            registry: Registry::new(),
            tokens: Tokens::new()?,
            url: url.to_owned(),
            addresses: Mutex::default(),
        };
        state.found();
        Ok(state)
    }

    /// Becomes another cluster: other UIDs, other versions, and nothing of what was.
    pub(super) fn refound(&self) {
        self.memory.clear();
        self.registry.define(std::iter::empty());
        *self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Addresses::default();
        self.found();
    }

    /// The object of a built-in type of the core group.
    pub(super) fn core(&self, plural: &str, namespace: &str, name: &str) -> Option<Arc<Item>> {
        let kind = self.registry.core(plural);
        self.memory.get(&kind.resource, &key(Some(namespace), name))
    }

    /// Gives a Service its address.
    pub(super) fn address(&self, object: &mut Map<String, Value>) {
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        addresses.give(object);
    }

    /// New objects may come into a namespace that is there and not going.
    pub(super) fn welcome(&self, kind: &Kind, namespace: &str) -> Result<(), Status> {
        let namespaces = self.registry.core("namespaces");
        let Some(found) = self.memory.get(&namespaces.resource, namespace) else {
            return Err(Status::not_found(&namespaces.resource, namespace));
        };
        if found.field(&namespaces.resource, "status.phase") != "Terminating" {
            return Ok(());
        }
        let plural = kind.resource.qualified();
        Err(Status::failure(
            403,
            "Forbidden",
            format!(
                "{plural} is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
            ),
        ))
    }

    /// Serves the custom resources that are defined now.
    pub(super) fn define(&self) {
        let kind = self
            .registry
            .builtin(super::builtin::EXTENSIONS, "customresourcedefinitions");
        let all = self.memory.all(&kind.resource);
        self.registry.define(all.iter().map(|item| item.object()));
    }

    /// What every cluster begins with.
    fn found(&self) {
        let metadata = |name: &str| json!({ "metadata": { "name": name } });
        for name in ["kube-system", "default", "kube-public", "kube-node-lease"] {
            self.put("", "namespaces", None, metadata(name));
        }
        let rbac = "rbac.authorization.k8s.io";
        let all = ["*"];
        let role = json!({
            "metadata": { "name": "cluster-admin" },
            "rules": [
                { "apiGroups": all, "resources": all, "verbs": all },
                { "nonResourceURLs": all, "verbs": all },
            ],
        });
        self.put(rbac, "clusterroles", None, role);
        let binding = json!({
            "metadata": { "name": "cluster-admin" },
            "roleRef": { "apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "apiGroup": rbac, "kind": "Group", "name": "system:masters" }],
        });
        self.put(rbac, "clusterrolebindings", None, binding);
        let service = json!({
            "metadata": {
                "name": "kubernetes",
                "labels": { "component": "apiserver", "provider": "kubernetes" },
            },
            "spec": {
                "clusterIP": "10.96.0.1",
                "ports": [{ "name": "https", "port": 443, "targetPort": 6443 }],
            },
        });
        self.put("", "services", Some("default"), service);
    }

    fn put(&self, group: &str, plural: &str, namespace: Option<&str>, object: Value) {
        let kind = self.registry.builtin(group, plural);
        if let Value::Object(object) = object {
            // What a cluster begins with is right, and comes into an empty store.
            let _ = self.create(&kind, namespace, object, Write::Keep);
        }
    }
}
