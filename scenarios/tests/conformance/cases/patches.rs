//! Patches of every form.

use anyhow::Result;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::{http::Ask, subject::Scene};

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    let maps = format!("/api/v1/namespaces/{}/configmaps", scene.space);
    scene
        .given(
            &maps,
            &json!({ "metadata": { "name": "x" }, "data": { "a": "1", "b": "2" } }),
        )
        .await?;
    for (title, name, media, body) in [
        (
            "merge",
            "x",
            MERGE,
            json!({ "data": { "a": null, "c": "3" } }),
        ),
        (
            "merge from an old state",
            "x",
            MERGE,
            json!({ "metadata": { "resourceVersion": "1" } }),
        ),
        ("merge into nothing", "nosuch", MERGE, json!({ "data": {} })),
        (
            "a patch of no known form",
            "x",
            "application/json",
            json!({}),
        ),
        (
            "steps",
            "x",
            STEPS,
            json!([
                { "op": "test", "path": "/data/b", "value": "2" },
                { "op": "add", "path": "/metadata/labels", "value": { "x": "y" } },
                { "op": "replace", "path": "/data/b", "value": "4" },
            ]),
        ),
        (
            "a step that does not fit",
            "x",
            STEPS,
            json!([{ "op": "remove", "path": "/data/zzz" }]),
        ),
        (
            "a test that fails",
            "x",
            STEPS,
            json!([{ "op": "test", "path": "/data/b", "value": "0" }]),
        ),
    ] {
        patch(scene, title, &format!("{maps}/{name}"), media, &body).await?;
    }
    strategic(scene).await?;
    apply(scene, &maps).await
}

async fn strategic(scene: &mut Scene<'_>) -> Result<()> {
    let all = format!("/apis/apps/v1/namespaces/{}/deployments", scene.space);
    let one = format!("{all}/d");
    scene.given(&all, &json!({
        "metadata": { "name": "d" },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "app": "d" } },
            "template": { "metadata": { "labels": { "app": "d" } }, "spec": { "containers": [
                { "name": "a", "image": "i:1", "env": [{ "name": "A", "value": "1" }], "ports": [{ "containerPort": 80 }] },
                { "name": "b", "image": "i:1" },
            ] } },
        },
    })).await?;
    let containers = |patch: Value| json!({ "spec": { "template": { "spec": patch } } });
    let ask = |patch: Value| (format!("{one}?fieldManager=kubectl"), patch);
    for (title, (path, body)) in [
        (
            "a container's image, and another variable",
            ask(containers(json!({
            "$setElementOrder/containers": [{ "name": "b" }, { "name": "a" }],
            "containers": [{ "name": "a", "image": "i:2", "env": [{ "name": "B", "value": "2" }] }] }))),
        ),
        (
            "a container less",
            ask(containers(
                json!({ "containers": [{ "name": "b", "$patch": "delete" }] }),
            )),
        ),
        (
            "ports are told apart by number",
            ask(containers(json!({ "containers": [
            { "name": "a", "ports": [{ "containerPort": 80, "name": "web" }, { "containerPort": 81 }] }] }))),
        ),
        (
            "another strategy",
            ask(json!({ "spec": { "strategy": { "$retainKeys": ["type"], "type": "Recreate" } } })),
        ),
        (
            "what may not change",
            ask(json!({ "spec": { "selector": { "matchLabels": { "b": "c" } } } })),
        ),
    ] {
        note_strategic(scene, &format!("strategic: {title}"), &path, &body).await?;
    }
    Ok(())
}

/// Notes what a patch made; the status is the controller's, whenever it comes to it.
async fn note_strategic(
    scene: &mut Scene<'_>,
    title: &str,
    path: &str,
    patch: &Value,
) -> Result<()> {
    let ask = Ask {
        method: "PATCH",
        path,
        token: Some(scene.subject.admin()),
        media: Some(STRATEGIC),
        body: Some(Bytes::from(patch.to_string())),
        ..Ask::default()
    };
    let answer = scene.subject.http.ask(&ask).await?;
    let mut told: Value = serde_json::from_str(&answer.text)?;
    if told["kind"] == "Deployment" {
        told.as_object_mut().unwrap().remove("status");
        told["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("annotations");
    }
    let told = scene.normal.value(&told);
    // How a selector is printed is Go's affair.
    let must = title != "strategic: what may not change";
    scene.note(
        must,
        title,
        json!({ "status": answer.status, "body": told }),
    );
    Ok(())
}

async fn apply(scene: &mut Scene<'_>, maps: &str) -> Result<()> {
    let one = format!("{maps}/applied");
    let config = |data: Value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "applied" }, "data": data });
    for (title, query, data) in [
        ("creates", "fieldManager=me", json!({ "x": "1", "y": "1" })),
        ("again", "fieldManager=me", json!({ "x": "1", "y": "1" })),
        (
            "by another manager, of another value",
            "fieldManager=you",
            json!({ "x": "2" }),
        ),
        (
            "by another manager, of the same value",
            "fieldManager=you",
            json!({ "x": "1" }),
        ),
        (
            "gives up a field that another has too",
            "fieldManager=me",
            json!({ "y": "1" }),
        ),
        ("gives up a field", "fieldManager=me", json!({ "z": "1" })),
        (
            "by force",
            "fieldManager=you&force=true",
            json!({ "z": "2" }),
        ),
        ("without a manager", "", json!({ "x": "3" })),
    ] {
        patch(
            scene,
            &format!("apply: {title}"),
            &format!("{one}?{query}"),
            APPLY,
            &config(data),
        )
        .await?;
    }
    scene.get("what came of it", &one).await?;
    Ok(())
}

async fn patch(
    scene: &mut Scene<'_>,
    title: &str,
    path: &str,
    media: &str,
    body: &Value,
) -> Result<Value> {
    let body = Some(Bytes::from(body.to_string()));
    scene
        .ask(
            true,
            title,
            Ask {
                method: "PATCH",
                path,
                media: Some(media),
                body,
                ..Ask::default()
            },
        )
        .await
}

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const STEPS: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
