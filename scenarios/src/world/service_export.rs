//! `ServiceExport` of the Multi-Cluster Services API (KEP-1645), in clusters that have it.

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use super::Cluster;
use crate::probe::eventually;

impl Cluster {
    /// Installs the kind, so that services can be exported by an object of it.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn install_service_exports(&self) -> Result<()> {
        self.api()
            .create::<CustomResourceDefinition>(definition())
            .await
    }

    /// Exports a service by a `ServiceExport` of its name.
    ///
    /// # Errors
    /// When the API does not take it.
    pub async fn export_by_object(&self, namespace: &str, name: &str) -> Result<()> {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, "ServiceExport");
        let resource = ApiResource::from_gvk_with_plural(&kind, PLURAL);
        let exports: Api<DynamicObject> =
            Api::namespaced_with(self.api().client(), namespace, &resource);
        let export = DynamicObject::new(name, &resource);
        // A kind is served some time after its definition was taken.
        eventually(
            "the API server serves ServiceExports",
            ESTABLISHED,
            async || {
                exports.create(&PostParams::default(), &export).await?;
                Ok(())
            },
        )
        .await
    }
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{PLURAL}.{GROUP}"),
            // The API server guards `*.k8s.io` groups: this names the approval of the kind.
            "annotations": { "api-approved.kubernetes.io": APPROVAL },
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": { "plural": PLURAL, "singular": "serviceexport", "kind": "ServiceExport" },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                } },
            }],
        },
    })
}

const GROUP: &str = "multicluster.x-k8s.io";
const VERSION: &str = "v1alpha1";
const PLURAL: &str = "serviceexports";
const APPROVAL: &str = "https://github.com/kubernetes/enhancements/tree/master/keps/sig-multicluster/1645-multi-cluster-services-api";
const ESTABLISHED: std::time::Duration = std::time::Duration::from_secs(20);
