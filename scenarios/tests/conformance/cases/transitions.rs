//! Objects that begin and cease to match.

use anyhow::Result;
use serde_json::json;

use crate::subject::Scene;

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    let maps = format!("/api/v1/namespaces/{}/configmaps", scene.space);
    let one = format!("{maps}/x");
    let mut by_label = scene
        .watch(
            &format!("{maps}?watch=true&labelSelector=app%20in%20(a%2Cb)"),
            None,
        )
        .await?;
    let mut by_name = scene
        .watch(
            &format!("{maps}?watch=true&fieldSelector=metadata.name%3Dx"),
            None,
        )
        .await?;
    let label = |value: &str| json!({ "metadata": { "labels": { "app": value } } });
    scene
        .given(
            &maps,
            &json!({ "metadata": { "name": "x", "labels": { "app": "c" } }, "data": { "v": "1" } }),
        )
        .await?;
    scene.merge(&one, &label("a")).await?;
    scene.merge(&one, &label("b")).await?;
    scene.merge(&one, &json!({ "data": { "v": "2" } })).await?;
    scene.merge(&one, &label("c")).await?;
    scene.merge(&one, &label("a")).await?;
    // Nothing changes, so nothing is heard.
    scene.merge(&one, &label("a")).await?;
    scene.delete(&one).await?;
    scene
        .given(
            &maps,
            &json!({ "metadata": { "name": "y", "labels": { "app": "a" } } }),
        )
        .await?;
    let last = |event: &serde_json::Value| event["object"]["metadata"]["name"] == "y";
    let events = by_label.until(last).await?;
    scene.heard("by label", &events);
    let events = by_name.until(|event| event["type"] == "DELETED").await?;
    scene.heard("by name", &events);
    old_path(scene).await?;
    pods(scene).await
}

/// Watches as they were asked for before there was a parameter for it.
async fn old_path(scene: &mut Scene<'_>) -> Result<()> {
    let space = scene.space.clone();
    let base = format!("/api/v1/watch/namespaces/{space}/configmaps");
    for (title, path) in [
        ("the old path, of all", base.clone()),
        ("the old path, of one", format!("{base}/y")),
    ] {
        let path = format!("{path}?timeoutSeconds=1&resourceVersion=0");
        let mut lines = scene.watch(&path, None).await?;
        let events = lines.until(|_| false).await?;
        scene.heard(title, &events);
    }
    Ok(())
}

async fn pods(scene: &mut Scene<'_>) -> Result<()> {
    let pods = format!("/api/v1/namespaces/{}/pods", scene.space);
    let mut alive = scene
        .watch(
            &format!("{pods}?watch=true&fieldSelector=status.phase%21%3DFailed"),
            None,
        )
        .await?;
    scene.given(&pods, &json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "image": "i:1" }] } })).await?;
    let phase = |phase: &str| json!({ "status": { "phase": phase } });
    let status = format!("{pods}/p/status");
    scene.merge(&status, &phase("Running")).await?;
    scene.merge(&status, &phase("Failed")).await?;
    let events = alive.until(|event| event["type"] == "DELETED").await?;
    scene.heard("by phase", &events);
    Ok(())
}
