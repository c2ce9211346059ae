//! kube-rs, with types.

use anyhow::Result;
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Service},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams},
    core::WatchEvent,
};
use serde_json::{Value, json};

use crate::subject::Scene;

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    let client = scene.subject.api.client();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &scene.space);
    let post = PostParams::default();
    let map: ConfigMap =
        serde_json::from_value(json!({ "metadata": { "name": "x" }, "data": { "a": "1" } }))?;
    let made = maps.create(&post, &map).await?;
    note(scene, "create", &made)?;
    refused(
        scene,
        "create again",
        maps.create(&post, &map).await.map(drop),
    );
    let mut newer = made.clone();
    newer
        .data
        .get_or_insert_default()
        .insert("b".into(), "2".into());
    let newer = maps.replace("x", &post, &newer).await?;
    note(scene, "replace", &newer)?;
    refused(
        scene,
        "replace from an old state",
        maps.replace("x", &post, &made).await.map(drop),
    );
    let apply = PatchParams::apply("conformance").force();
    let config = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x" }, "data": { "c": "3" } });
    note(
        scene,
        "apply",
        &maps.patch("x", &apply, &Patch::Apply(&config)).await?,
    )?;
    let merge = Patch::Merge(json!({ "data": { "a": null } }));
    note(
        scene,
        "merge",
        &maps.patch("x", &PatchParams::default(), &merge).await?,
    )?;
    let strategic = Patch::Strategic(json!({ "metadata": { "labels": { "l": "m" } } }));
    note(
        scene,
        "strategic",
        &maps.patch("x", &PatchParams::default(), &strategic).await?,
    )?;
    reads(scene, &maps).await
}

async fn reads(scene: &mut Scene<'_>, maps: &Api<ConfigMap>) -> Result<()> {
    let listed = maps.list(&ListParams::default().labels("l=m")).await?;
    scene.note(
        true,
        "list",
        json!(
            listed
                .items
                .iter()
                .map(ResourceExt::name_any)
                .collect::<Vec<_>>()
        ),
    );
    let partial = maps.get_metadata("x").await?;
    scene.note(
        true,
        "metadata",
        json!([
            partial.types.clone().map(|types| types.kind),
            partial.name_any()
        ]),
    );
    watch(scene, maps).await?;
    let deleted = maps.delete("x", &DeleteParams::default()).await?;
    scene.note(
        true,
        "delete answers with a status",
        json!(deleted.is_right()),
    );
    refused(scene, "get what is gone", maps.get("x").await.map(drop));
    workloads(scene).await
}

async fn watch(scene: &mut Scene<'_>, maps: &Api<ConfigMap>) -> Result<()> {
    let since = maps
        .list(&ListParams::default())
        .await?
        .metadata
        .resource_version
        .unwrap_or_default();
    let events = maps.watch(&WatchParams::default(), &since).await?;
    let map: ConfigMap = serde_json::from_value(json!({ "metadata": { "name": "w" } }))?;
    maps.create(&PostParams::default(), &map).await?;
    maps.delete("w", &DeleteParams::default()).await?;
    pin_mut!(events);
    let mut heard = Vec::new();
    while heard.len() < 2 {
        match events.next().await.unwrap()? {
            WatchEvent::Added(map) => heard.push(format!("added {}", map.name_any())),
            WatchEvent::Deleted(map) => heard.push(format!("deleted {}", map.name_any())),
            WatchEvent::Bookmark(_) => {}
            other => heard.push(format!("{other:?}")),
        }
    }
    scene.note(true, "watch", json!(heard));
    Ok(())
}

async fn workloads(scene: &mut Scene<'_>) -> Result<()> {
    let client = scene.subject.api.client();
    let services: Api<Service> = Api::namespaced(client.clone(), &scene.space);
    let service = serde_json::from_value(
        json!({ "metadata": { "name": "s" }, "spec": { "ports": [{ "port": 80 }] } }),
    )?;
    note(
        scene,
        "a typed Service",
        &services.create(&PostParams::default(), &service).await?,
    )?;
    let deleted = services.delete("s", &DeleteParams::default()).await?;
    scene.note(
        true,
        "delete answers with the object",
        json!(deleted.is_left()),
    );
    let pods: Api<Pod> = Api::namespaced(client.clone(), &scene.space);
    let pod = serde_json::from_value(
        json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "image": "i:1" }] } }),
    )?;
    note(
        scene,
        "a typed Pod",
        &pods.create(&PostParams::default(), &pod).await?,
    )?;
    let status = Patch::Merge(json!({ "status": { "phase": "Running", "podIP": "10.1.2.3" } }));
    note(
        scene,
        "its status",
        &pods
            .patch_status("p", &PatchParams::default(), &status)
            .await?,
    )?;
    let deployments: Api<Deployment> = Api::namespaced(client, &scene.space);
    let deployment = serde_json::from_value(json!({ "metadata": { "name": "d" }, "spec": {
        "replicas": 0, "selector": { "matchLabels": { "app": "d" } },
        "template": { "metadata": { "labels": { "app": "d" } }, "spec": { "containers": [{ "name": "c", "image": "i:1" }] } } } }))?;
    deployments
        .create(&PostParams::default(), &deployment)
        .await?;
    let scale = Patch::Merge(json!({ "spec": { "replicas": 2 } }));
    let scaled = deployments
        .patch_scale("d", &PatchParams::default(), &scale)
        .await?;
    scene.note(
        true,
        "scale",
        json!(scaled.spec.and_then(|spec| spec.replicas)),
    );
    Ok(())
}

fn note(scene: &mut Scene<'_>, title: &str, object: &impl serde::Serialize) -> Result<()> {
    let value: Value = serde_json::to_value(object)?;
    let shown = scene.normal.value(&value);
    scene.note(true, title, shown);
    Ok(())
}

fn refused(scene: &mut Scene<'_>, title: &str, answer: kube::Result<()>) {
    let told = match answer {
        Ok(()) => json!("not refused"),
        Err(kube::Error::Api(status)) => json!([status.code, status.reason, status.message]),
        Err(other) => json!(other.to_string()),
    };
    let told = scene.normal.value(&told);
    scene.note(true, title, told);
}
