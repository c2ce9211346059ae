//! What every cluster of a mesh has before anything runs in it: namespaces, accounts, the
//! mesh's own configuration, and who may read what.

use anyhow::Result;
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, Secret, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use serde_json::json;

use super::{
    api::Api,
    objects::{self, DISCOVERY, DISCOVERY_NAMESPACE, READER},
};
use crate::topology::{ClusterPlan, GATEWAY, SYSTEM_NAMESPACE};

/// Every account that a workload of these worlds runs as.
pub const ACCOUNTS: &[(&str, &str)] = &[
    (DISCOVERY_NAMESPACE, DISCOVERY),
    (SYSTEM_NAMESPACE, GATEWAY),
    ("sample", "client"),
    ("sample", "helloworld"),
    ("sample", "other"),
];

/// Brings it all into a new cluster.
///
/// # Errors
/// When the API refuses.
pub async fn bring(api: &Api, plan: &ClusterPlan) -> Result<()> {
    let network = json!({ "topology.istio.io/network": plan.network });
    for (name, labels) in [
        (SYSTEM_NAMESPACE, network),
        (DISCOVERY_NAMESPACE, json!({})),
        ("sample", json!({})),
    ] {
        api.create::<Namespace>(objects::namespace(name, &labels))
            .await?;
    }
    for (namespace, name) in ACCOUNTS.iter().chain(&[(SYSTEM_NAMESPACE, READER)]) {
        api.create::<ServiceAccount>(objects::account(namespace, name))
            .await?;
    }
    api.create::<ConfigMap>(objects::mesh_config(plan)).await?;
    api.create::<ClusterRole>(objects::reader_role()).await?;
    api.create::<ClusterRoleBinding>(objects::reader_binding())
        .await?;
    api.create::<Role>(objects::registry_role()).await?;
    api.create::<RoleBinding>(objects::registry_binding()).await
}

/// A token of the reader's account, which ends when the Secret `anchor` is deleted.
///
/// # Errors
/// When the API refuses.
pub async fn bound_token(api: &Api, anchor: &str) -> Result<String> {
    api.create::<Secret>(objects::token_anchor(anchor)).await?;
    let secrets: kube::Api<Secret> = kube::Api::namespaced(api.client(), SYSTEM_NAMESPACE);
    let bound = secrets.get(anchor).await?;
    api.token(SYSTEM_NAMESPACE, READER, Some(&bound)).await
}
