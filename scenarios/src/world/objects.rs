//! Kubernetes objects of a world, as values.

use std::net::Ipv4Addr;

use anyhow::Result;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::image::{APP, NOTHING};
use crate::topology::{
    APP_PORT, ClusterPlan, GATEWAY, MESH_PORT, POD_RANGE, SYSTEM_NAMESPACE, ServicePlan, Workload,
};

/// The account whose token peers use, as istioctl names it.
pub const READER: &str = "istio-reader-service-account";
/// The account that our discovery runs as.
pub const DISCOVERY: &str = "discovery";
/// The namespace that our discovery runs in.
pub const DISCOVERY_NAMESPACE: &str = "isthmus";
/// The label by which a service is offered to other clusters.
pub const EXPORT_LABEL: &str = "isthmus.io/export";

/// A namespace.
#[must_use]
pub fn namespace(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": name, "labels": labels },
    })
}

/// A service account.
#[must_use]
pub fn account(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": name, "namespace": namespace },
    })
}

/// The mesh's own ConfigMap, where readers find the trust domain.
#[must_use]
pub fn mesh_config(plan: &ClusterPlan) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "istio", "namespace": SYSTEM_NAMESPACE },
        "data": { "mesh": format!("trustDomain: {}\n", plan.trust_domain) },
    })
}

/// What a discovery may read in a cluster: no Secrets, nothing written.
#[must_use]
pub fn reader_role() -> Value {
    let verbs = ["get", "list", "watch"];
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": { "name": ROLE },
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["services", "pods", "nodes", "namespaces", "configmaps"],
                "verbs": verbs,
            },
            {
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "verbs": verbs,
            },
            {
                "apiGroups": ["multicluster.x-k8s.io"],
                "resources": ["serviceexports"],
                "verbs": verbs,
            },
            {
                "apiGroups": ["apiextensions.k8s.io"],
                "resources": ["customresourcedefinitions"],
                "verbs": verbs,
            },
        ],
    })
}

/// Gives that role to the account whose tokens peers hold, and to discovery.
#[must_use]
pub fn reader_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": ROLE },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE },
        "subjects": [
            { "kind": "ServiceAccount", "name": READER, "namespace": SYSTEM_NAMESPACE },
            { "kind": "ServiceAccount", "name": DISCOVERY, "namespace": DISCOVERY_NAMESPACE },
        ],
    })
}

/// What the registry may read: remote secrets, where they are kept.
#[must_use]
pub fn registry_role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": { "name": REGISTRY_ROLE, "namespace": SYSTEM_NAMESPACE },
        "rules": [{
            "apiGroups": [""],
            "resources": ["secrets"],
            "verbs": ["get", "list", "watch"],
        }],
    })
}

/// Gives that role to discovery.
#[must_use]
pub fn registry_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": REGISTRY_ROLE, "namespace": SYSTEM_NAMESPACE },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": REGISTRY_ROLE,
        },
        "subjects": [
            { "kind": "ServiceAccount", "name": DISCOVERY, "namespace": DISCOVERY_NAMESPACE },
        ],
    })
}

/// The cluster's one node.
#[must_use]
pub fn node(plan: &ClusterPlan) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": plan.node_name(),
            "labels": plan.node_labels(),
        },
        "spec": { "podCIDR": POD_RANGE, "podCIDRs": [POD_RANGE] },
    })
}

/// A service with one HTTP port, 80, in front of the application's.
#[must_use]
pub fn service(plan: &ServicePlan) -> Value {
    let labels = match plan.exported {
        true => json!({ EXPORT_LABEL: "true" }),
        false => json!({}),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": plan.name, "namespace": plan.namespace, "labels": labels },
        "spec": {
            "selector": plan.selector,
            "ports": [{ "name": "http", "port": 80, "targetPort": APP_PORT }],
        },
    })
}

/// The gateway's service; its status says the address on the wan.
#[must_use]
pub fn gateway_service(plan: &ClusterPlan) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": GATEWAY,
            "namespace": SYSTEM_NAMESPACE,
            "labels": { "topology.istio.io/network": plan.network },
        },
        "spec": {
            "type": "LoadBalancer",
            "selector": { "app": GATEWAY },
            "ports": [{ "name": "tls", "port": MESH_PORT, "targetPort": MESH_PORT }],
        },
    })
}

/// A pod as its ReplicaSet would make it, bound to the cluster's node.
#[must_use]
pub fn pod(plan: &ClusterPlan, workload: &Workload, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": workload.namespace,
            "labels": workload.labels,
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": format!("{}-{TEMPLATE_HASH}", workload.name),
                "uid": "00000000-0000-4000-8000-000000000000",
                "controller": true,
            }],
        },
        "spec": {
            "nodeName": plan.node_name(),
            "serviceAccountName": workload.account,
            "containers": [{
                "name": "app",
                "image": "none",
                "ports": [{ "name": "http", "containerPort": APP_PORT }],
            }],
        },
    })
}

/// A pod of a Deployment's template, as its ReplicaSet would make it, bound to the
/// cluster's node.
#[must_use]
pub fn pod_of(plan: &ClusterPlan, workload: &Workload, name: &str, template: Value) -> Value {
    let mut pod = template;
    let set = format!("{}-{TEMPLATE_HASH}", workload.name);
    let metadata = &mut pod["metadata"];
    metadata["name"] = json!(name);
    metadata["namespace"] = json!(workload.namespace);
    metadata["generateName"] = json!(format!("{set}-"));
    metadata["labels"]["pod-template-hash"] = json!(TEMPLATE_HASH);
    for (label, value) in &workload.labels {
        metadata["labels"][label] = json!(value);
    }
    metadata["ownerReferences"] = json!([{
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": set,
        "uid": "00000000-0000-4000-8000-000000000000",
        "controller": true,
    }]);
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["spec"]["nodeName"] = json!(plan.node_name());
    pod
}

/// The template of an application, or of nothing, that leaves its sidecar to others.
#[must_use]
pub fn application(
    workload: &Workload,
    version: Option<&str>,
    istiod: Option<Ipv4Addr>,
    pod: &str,
) -> Value {
    let container = match version {
        None => json!({ "name": "app", "image": NOTHING }),
        Some(version) => json!({
            "name": "app",
            "image": APP,
            "args": [
                "helloworld",
                "--listen", format!("0.0.0.0:{APP_PORT}"),
                "--version", version,
                "--pod", pod,
            ],
            "ports": [{ "name": "http", "containerPort": APP_PORT }],
            "readinessProbe": { "httpGet": { "path": "/hello", "port": APP_PORT } },
        }),
    };
    let account = workload.account;
    let mut template = json!({
        "metadata": {},
        "spec": { "serviceAccountName": account, "containers": [container] },
    });
    if let Some(ip) = istiod {
        let names = ["istiod.istio-system.svc"];
        template["spec"]["hostAliases"] = json!([{ "ip": ip, "hostnames": names }]);
    }
    template
}

/// The status that a kubelet writes for a running pod.
#[must_use]
pub fn pod_status(address: Ipv4Addr, host: Ipv4Addr, ready: bool) -> Value {
    let condition =
        |kind: &str| json!({ "type": kind, "status": if ready { "True" } else { "False" } });
    json!({
        "phase": "Running",
        "podIP": address,
        "podIPs": [{ "ip": address }],
        "hostIP": host,
        "conditions": [condition("Ready"), condition("ContainersReady")],
    })
}

/// A remote secret as istioctl writes it.
#[must_use]
pub fn remote_secret(cluster: &str, kubeconfig: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": format!("istio-remote-secret-{cluster}"),
            "namespace": SYSTEM_NAMESPACE,
            "labels": { "istio/multiCluster": "true" },
            "annotations": { "networking.istio.io/cluster": cluster },
        },
        "stringData": { cluster: kubeconfig },
    })
}

/// An empty Secret for a token to be bound to: deleting it revokes the token.
#[must_use]
pub fn token_anchor(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": SYSTEM_NAMESPACE },
    })
}

/// Base64 as Kubernetes writes it.
///
/// # Errors
/// Never, in practice: a string is JSON.
pub fn base64(bytes: &[u8]) -> Result<String> {
    match serde_json::to_value(ByteString(bytes.to_owned()))? {
        Value::String(text) => Ok(text),
        other => anyhow::bail!("not a string: {other}"),
    }
}

const ROLE: &str = "isthmus-reader";
const REGISTRY_ROLE: &str = "isthmus-registry";
const TEMPLATE_HASH: &str = "6d4cf56db6";
