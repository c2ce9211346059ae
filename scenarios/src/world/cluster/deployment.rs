//! What the controllers of Deployments do: pods as a Deployment says.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use super::Cluster;
use crate::topology::Workload;

impl Cluster {
    /// Makes the pods of a workload as many as its Deployment says by now, new ones after its
    /// template; none if it has no Deployment. Returns when all are ready or gone, and its
    /// status says so. Pods that stand are not made anew for another template.
    ///
    /// # Errors
    /// When the API refuses, or a pod does not become ready or end.
    pub async fn roll_out(&mut self, workload: &Workload) -> Result<()> {
        let (namespace, name) = (workload.namespace, workload.name);
        let found = self.api().find::<Deployment>(namespace, name).await?;
        let Some(Deployment { metadata, spec, .. }) = found else {
            self.scale_down(workload, 0, Duration::ZERO).await?;
            return Ok(());
        };
        let wanted = spec.replicas.unwrap_or(1);
        let replicas = usize::try_from(wanted)?;
        let installed = self.installed.as_mut();
        let installed = installed.context("images are known once something is installed")?;
        installed.keep(name, serde_json::to_value(spec.template)?);
        self.scale_up(workload, replicas).await?;
        self.scale_down(workload, replicas, Duration::ZERO).await?;
        let status = json!({
            "observedGeneration": metadata.generation,
            "replicas": wanted,
            "updatedReplicas": wanted,
            "readyReplicas": wanted,
            "availableReplicas": wanted,
        });
        let api = self.api();
        api.set_status::<Deployment>(namespace, name, status)
            .await?;
        Ok(())
    }
}
