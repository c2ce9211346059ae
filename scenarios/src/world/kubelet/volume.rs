//! The volumes of a pod.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequestSpec},
    core::v1::{
        ConfigMap, DownwardAPIVolumeFile, Pod, Secret, ServiceAccountTokenProjection, Volume,
        VolumeProjection,
    },
};

use super::container::field;
use crate::{
    probe::eventually,
    world::{api::Api, mount},
};

type Files = BTreeMap<String, Vec<u8>>;

/// The files of a volume; none of an empty directory.
///
/// # Errors
/// When what it is made of is not there in time, or the kind is not known.
pub(super) async fn content(api: &Api, pod: &Pod, volume: &Volume) -> Result<Option<Files>> {
    if let Some(map) = &volume.config_map {
        return config_map(api, pod, &map.name, map.optional)
            .await
            .map(Some);
    }
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        return self::secret(api, pod, name, secret.optional)
            .await
            .map(Some);
    }
    if let Some(downward) = &volume.downward_api {
        return described(pod, downward.items.as_deref()).map(Some);
    }
    let Some(projected) = &volume.projected else {
        // What is of no kind is an empty directory too: the API server's default.
        return Ok(None);
    };
    let mut files = Files::new();
    for source in projected.sources.iter().flatten() {
        files.extend(self::projected(api, pod, source).await?);
    }
    Ok(Some(files))
}

async fn projected(api: &Api, pod: &Pod, source: &VolumeProjection) -> Result<Files> {
    if let Some(token) = &source.service_account_token {
        let content = self::token(api, pod, token).await?;
        return Ok(Files::from([(token.path.clone(), content.into_bytes())]));
    }
    if let Some(map) = &source.config_map {
        return config_map(api, pod, &map.name, map.optional).await;
    }
    if let Some(downward) = &source.downward_api {
        return described(pod, downward.items.as_deref());
    }
    bail!("a source that this kubelet does not know: {source:?}")
}

/// A token that ends with the pod.
async fn token(api: &Api, pod: &Pod, wanted: &ServiceAccountTokenProjection) -> Result<String> {
    let spec = pod.spec.as_ref();
    let account = spec.and_then(|spec| spec.service_account_name.as_deref());
    let request = TokenRequestSpec {
        audiences: wanted.audience.clone().map(|audience| vec![audience]),
        expiration_seconds: wanted.expiration_seconds,
        bound_object_ref: Some(BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        }),
        ..TokenRequestSpec::default()
    };
    let account = account.context("a pod without an account")?;
    api.request_token(namespace(pod), account, request).await
}

async fn config_map(api: &Api, pod: &Pod, name: &str, optional: Option<bool>) -> Result<Files> {
    let find = async || api.find::<ConfigMap>(namespace(pod), name).await;
    let found = if optional == Some(true) {
        find().await?
    } else {
        let what = format!("there is a ConfigMap {name}");
        let found = async || find().await?.context("there is none");
        Some(eventually(&what, ARRIVAL, found).await?)
    };
    let data = found.and_then(|map| map.data).unwrap_or_default();
    Ok((data.into_iter())
        .map(|(name, text)| (name, text.into_bytes()))
        .collect())
}

async fn secret(api: &Api, pod: &Pod, name: &str, optional: Option<bool>) -> Result<Files> {
    let found = api.find::<Secret>(namespace(pod), name).await?;
    if found.is_none() && optional != Some(true) {
        bail!("there is no Secret {name}");
    }
    let data = found.and_then(|secret| secret.data).unwrap_or_default();
    Ok((data.into_iter())
        .map(|(name, bytes)| (name, bytes.0))
        .collect())
}

fn described(pod: &Pod, items: Option<&[DownwardAPIVolumeFile]>) -> Result<Files> {
    let items = items.into_iter().flatten();
    let file = |item: &DownwardAPIVolumeFile| {
        let reference = item.field_ref.as_ref();
        let reference = reference.with_context(|| format!("{} is no field", item.path))?;
        let content = field(pod, &reference.field_path)?.into_bytes();
        anyhow::Ok((item.path.clone(), content))
    };
    items.map(file).collect()
}

fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// Makes the volume at `path`: an empty directory that anybody may write to, or files that
/// anybody may read.
///
/// # Errors
/// When a file cannot be made.
pub(super) fn write(path: &Path, files: Option<&BTreeMap<&str, Vec<u8>>>) -> Result<()> {
    if let Some(files) = files {
        return mount::write(path, files, 0o644);
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    Ok(())
}

/// How long istiod may take to write its root into a namespace.
const ARRIVAL: Duration = Duration::from_secs(30);
