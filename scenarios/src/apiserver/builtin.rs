//! The types that the server knows without being told.

use discovery::serve::kube::{Resource, resource::Selectable};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        coordination::v1::Lease,
        core::v1::{ConfigMap, Event, Namespace, Node, Pod, Secret, Service, ServiceAccount},
        discovery::v1::EndpointSlice,
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};

use super::{columns, kind::Kind};

/// All of them.
pub(super) fn kinds() -> Vec<Kind> {
    let mut kinds = places();
    kinds.extend(running());
    kinds.extend(knowledge());
    kinds.extend(workloads());
    kinds.extend(others());
    kinds
}

/// Where things are.
fn places() -> Vec<Kind> {
    let node = r#","spec":{},"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":{"machineID":"","systemUUID":"","bootID":"","kernelVersion":"","osImage":"","containerRuntimeVersion":"","kubeletVersion":"","kubeProxyVersion":"","operatingSystem":"","architecture":""}}"#;
    vec![
        Kind::builtin::<Namespace>(Resource {
            fields: vec![Selectable::plain("status.phase")],
            columns: columns::namespaces(),
            ..whole("", "namespaces", "Namespace", r#","spec":{},"status":{}"#)
        })
        .short(&["ns"])
        .with_status()
        .returned(),
        Kind::builtin::<Node>(Resource {
            fields: vec![Selectable::plain("spec.unschedulable")],
            columns: columns::nodes(),
            ..whole("", "nodes", "Node", node)
        })
        .short(&["no"])
        .with_status(),
    ]
}

/// What runs, and how it is reached.
fn running() -> Vec<Kind> {
    vec![
        Kind::builtin::<Pod>(Resource {
            fields: [
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "spec.hostNetwork",
                "status.phase",
                "status.podIP",
                "status.nominatedNodeName",
            ]
            .map(Selectable::plain)
            .into(),
            columns: columns::pods(),
            ..named(
                "",
                "pods",
                "Pod",
                r#","spec":{"containers":null},"status":{}"#,
            )
        })
        .short(&["po"])
        .with_status()
        .counted()
        .returned()
        .in_all(),
        Kind::builtin::<Service>(Resource {
            fields: ["spec.clusterIP", "spec.type"]
                .map(Selectable::plain)
                .into(),
            columns: columns::services(),
            ..named(
                "",
                "services",
                "Service",
                r#","spec":{},"status":{"loadBalancer":{}}"#,
            )
        })
        .short(&["svc"])
        .with_status()
        .returned()
        .in_all(),
    ]
}

/// What is told and known.
fn knowledge() -> Vec<Kind> {
    let event = r#","involvedObject":{},"source":{},"firstTimestamp":null,"lastTimestamp":null,"eventTime":null,"reportingComponent":"","reportingInstance":"""#;
    vec![
        Kind::builtin::<Secret>(Resource {
            fields: vec![Selectable::plain("type")],
            columns: columns::secrets(),
            ..named("", "secrets", "Secret", "")
        }),
        Kind::builtin::<ConfigMap>(Resource {
            columns: columns::config_maps(),
            ..named("", "configmaps", "ConfigMap", "")
        })
        .short(&["cm"]),
        Kind::builtin::<ServiceAccount>(Resource {
            columns: columns::accounts(),
            ..named("", "serviceaccounts", "ServiceAccount", "")
        })
        .short(&["sa"])
        .returned(),
        Kind::builtin::<Event>(Resource {
            fields: [
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "source",
                "type",
            ]
            .map(Selectable::plain)
            .into(),
            columns: columns::events(),
            ..named("", "events", "Event", event)
        })
        .short(&["ev"]),
    ]
}

fn workloads() -> Vec<Kind> {
    let deployment = r#","spec":{"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":null}},"strategy":{}},"status":{}"#;
    let set = r#","spec":{"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":null}}},"status":{"replicas":0}"#;
    vec![
        Kind::builtin::<Deployment>(Resource {
            columns: columns::deployments(),
            ..named("apps", "deployments", "Deployment", deployment)
        })
        .short(&["deploy"])
        .with_status()
        .counted()
        .scaled(),
        Kind::builtin::<ReplicaSet>(Resource {
            fields: vec![Selectable::plain("status.replicas")],
            columns: columns::replica_sets(),
            ..named("apps", "replicasets", "ReplicaSet", set)
        })
        .short(&["rs"])
        .with_status()
        .counted()
        .scaled(),
    ]
}

fn others() -> Vec<Kind> {
    let definition = r#","spec":{"group":"","names":{"plural":"","kind":""},"scope":"","versions":null},"status":{"conditions":null,"acceptedNames":{"plural":"","kind":""},"storedVersions":null}"#;
    let slice = r#","addressType":"","endpoints":null,"ports":null"#;
    let (rules, role) = (
        r#","rules":null"#,
        r#","roleRef":{"apiGroup":"","kind":"","name":""}"#,
    );
    vec![
        Kind::builtin::<EndpointSlice>(Resource {
            columns: columns::slices(),
            ..named("discovery.k8s.io", "endpointslices", "EndpointSlice", slice)
        })
        .counted(),
        Kind::builtin::<Lease>(Resource {
            columns: columns::leases(),
            ..named("coordination.k8s.io", "leases", "Lease", r#","spec":{}"#)
        }),
        Kind::builtin::<CustomResourceDefinition>(Resource {
            columns: columns::definitions(),
            ..whole(
                EXTENSIONS,
                "customresourcedefinitions",
                "CustomResourceDefinition",
                definition,
            )
        })
        .short(&["crd", "crds"])
        .categorized("api-extensions")
        .with_status()
        .counted()
        .returned(),
        Kind::builtin::<ClusterRole>(Resource {
            columns: columns::roles(),
            ..whole(RBAC, "clusterroles", "ClusterRole", rules)
        }),
        Kind::builtin::<ClusterRoleBinding>(Resource {
            columns: columns::bindings(),
            ..whole(RBAC, "clusterrolebindings", "ClusterRoleBinding", role)
        }),
        Kind::builtin::<Role>(Resource {
            columns: columns::roles(),
            ..named(RBAC, "roles", "Role", rules)
        }),
        Kind::builtin::<RoleBinding>(Resource {
            columns: columns::bindings(),
            ..named(RBAC, "rolebindings", "RoleBinding", role)
        }),
    ]
}

/// A type whose objects live in no namespace.
fn whole(group: &str, plural: &str, kind: &str, blank: &'static str) -> Resource {
    Resource {
        namespaced: false,
        ..named(group, plural, kind, blank)
    }
}

/// A type whose objects live in namespaces.
fn named(group: &str, plural: &str, kind: &str, blank: &'static str) -> Resource {
    Resource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        plural: plural.to_owned(),
        kind: kind.to_owned(),
        namespaced: true,
        fields: Vec::new(),
        columns: Vec::new(),
        items_say_kind: false,
        blank,
    }
}

/// The group of definitions of custom resources.
pub(super) const EXTENSIONS: &str = "apiextensions.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
