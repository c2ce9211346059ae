//! Definitions of custom resources, and their instances.

use anyhow::Result;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::{
    http::{Ask, Lines},
    subject::Scene,
};

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let one = format!("{definitions}/foos.conformance.io");
    scene
        .get("a group before its definition", "/apis/conformance.io/v1")
        .await?;
    let body = Some(Bytes::from(definition().to_string()));
    // The real one accepts the names a little later; the embedded one at once.
    scene
        .ask(
            true,
            "a definition",
            Ask {
                method: "POST",
                path: definitions,
                body,
                ..Ask::default()
            },
        )
        .await?;
    let established = |found: &Value| {
        let mut all = found["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten();
        all.any(|c| c["type"] == "Established" && c["status"] == "True")
    };
    let found = scene.until(&one, established).await?;
    let found = scene.normal.value(&found);
    scene.note(true, "the definition when it is established", found);
    let all = format!("/apis/conformance.io/v1/namespaces/{}/foos", scene.space);
    scene.until(&all, |list| list["items"].is_array()).await?;
    instances(scene, &all).await?;
    table(scene, &all).await?;
    scene.delete(&one).await?;
    let gone = async |scene: &Scene<'_>| scene.look(&one).await.is_err();
    while !gone(scene).await {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn instances(scene: &mut Scene<'_>, all: &str) -> Result<()> {
    let instance = |name: &str, size: i64| {
        json!({
            "apiVersion": "conformance.io/v1", "kind": "Foo", "metadata": { "name": name },
            "spec": { "size": size, "replicas": 2 }, "status": { "phase": "Given" },
        })
    };
    let events = scene.watch(&format!("{all}?watch=true"), None).await?;
    scene
        .send("an instance", "POST", all, &instance("a", 3))
        .await?;
    let body = Some(Bytes::from(
        json!({ "metadata": { "name": "b" } }).to_string(),
    ));
    scene
        .ask(
            true,
            "an instance that does not say what it is",
            Ask {
                method: "POST",
                path: all,
                body,
                ..Ask::default()
            },
        )
        .await?;
    changes(scene, all).await?;
    shown(scene, all, events).await
}

async fn changes(scene: &mut Scene<'_>, all: &str) -> Result<()> {
    let one = format!("{all}/a");
    for (title, path, patch) in [
        (
            "another size",
            one.clone(),
            json!({ "spec": { "size": 4 } }),
        ),
        (
            "a status",
            format!("{one}/status"),
            json!({ "status": { "phase": "Big" }, "spec": { "size": 9 } }),
        ),
        (
            "a status that is not written so",
            one.clone(),
            json!({ "status": { "phase": "Small" } }),
        ),
    ] {
        let body = Some(Bytes::from(patch.to_string()));
        let media = Some("application/merge-patch+json");
        scene
            .ask(
                true,
                title,
                Ask {
                    method: "PATCH",
                    path: &path,
                    media,
                    body,
                    ..Ask::default()
                },
            )
            .await?;
    }
    Ok(())
}

async fn shown(scene: &mut Scene<'_>, all: &str, mut events: Lines) -> Result<()> {
    let one = format!("{all}/a");
    let body = Some(Bytes::from_static(b"{}"));
    let media = Some("application/strategic-merge-patch+json");
    // The text lists what is taken.
    scene
        .ask(
            false,
            "a strategic patch",
            Ask {
                method: "PATCH",
                path: &one,
                media,
                body,
                ..Ask::default()
            },
        )
        .await?;
    scene.get("its scale", &format!("{one}/scale")).await?;
    // Its list says no more than it must in one, and an empty continue in the other.
    let list = scene.look(all).await?;
    let items = scene.normal.value(&list["items"]);
    scene.note(true, "all instances", items);
    scene
        .ask(
            true,
            "delete",
            Ask {
                method: "DELETE",
                path: &one,
                ..Ask::default()
            },
        )
        .await?;
    let heard = events.until(|event| event["type"] == "DELETED").await?;
    scene.heard("what was heard of it", &heard);
    Ok(())
}

async fn table(scene: &mut Scene<'_>, all: &str) -> Result<()> {
    let instance = json!({ "apiVersion": "conformance.io/v1", "kind": "Foo", "metadata": { "name": "t" },
        "spec": { "size": 7, "list": [{ "type": "x", "v": "y" }] } });
    scene.given(all, &instance).await?;
    let accept = Some("application/json;as=Table;v=v1;g=meta.k8s.io");
    let ask = Ask {
        method: "GET",
        path: all,
        accept,
        token: Some(scene.subject.admin()),
        ..Ask::default()
    };
    let answer = scene.subject.http.ask(&ask).await?;
    let table: Value = serde_json::from_str(&answer.text)?;
    let heads: Vec<_> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| json!([c["name"], c["type"], c["priority"]]))
        .collect();
    scene.note(true, "the columns of a table", json!(heads));
    scene.note(
        true,
        "the cells of a row",
        table["rows"][0]["cells"].clone(),
    );
    Ok(())
}

fn definition() -> Value {
    json!({
        "metadata": { "name": "foos.conformance.io" },
        "spec": {
            "group": "conformance.io", "scope": "Namespaced",
            "names": { "plural": "foos", "kind": "Foo", "shortNames": ["fo"] },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {
                        "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                        "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                    },
                } },
                "subresources": {
                    "status": {},
                    "scale": { "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas" },
                },
                "additionalPrinterColumns": [
                    { "name": "Size", "type": "integer", "jsonPath": ".spec.size" },
                    { "name": "X", "type": "string", "jsonPath": ".spec.list[?(@.type==\"x\")].v", "priority": 1 },
                ],
            }],
        },
    })
}
