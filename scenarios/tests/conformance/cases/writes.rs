//! Writes, and how they are refused.

use anyhow::Result;
use hyper::body::Bytes;
use serde_json::json;

use crate::{http::Ask, subject::Scene};

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    let maps = format!("/api/v1/namespaces/{}/configmaps", scene.space);
    let map =
        |name: &str, value: &str| json!({ "metadata": { "name": name }, "data": { "a": value } });
    for (title, path, body) in [
        ("create", maps.clone(), map("x", "1")),
        ("create again", maps.clone(), map("x", "2")),
        (
            "create with a generated name",
            maps.clone(),
            json!({ "metadata": { "generateName": "gen-" } }),
        ),
        (
            "create without a name",
            maps.clone(),
            json!({ "metadata": {} }),
        ),
        ("create with a wrong name", maps.clone(), map("X_y", "1")),
        (
            "create elsewhere",
            "/api/v1/namespaces/nosuch/configmaps".to_owned(),
            map("x", "1"),
        ),
        (
            "create for another namespace",
            maps.clone(),
            json!({ "metadata": { "name": "z", "namespace": "other" } }),
        ),
        (
            "create with a version",
            maps.clone(),
            json!({ "metadata": { "name": "z", "resourceVersion": "1" } }),
        ),
        (
            "create with a field that is unknown",
            format!("{maps}?fieldValidation=Strict"),
            json!({ "metadata": { "name": "z" }, "daaata": {} }),
        ),
        (
            "try to create",
            format!("{maps}?dryRun=All"),
            map("tried", "1"),
        ),
    ] {
        scene.send(title, "POST", &path, &body).await?;
    }
    scene
        .get("what was tried", &format!("{maps}/tried"))
        .await?;
    other_kind(scene, &maps).await?;
    updates(scene, &maps).await?;
    deletions(scene, &maps).await
}

async fn other_kind(scene: &mut Scene<'_>, maps: &str) -> Result<()> {
    let pod = json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "z" } });
    let body = |text: &str| Some(Bytes::from(text.to_owned()));
    let ask = |body| Ask {
        method: "POST",
        path: maps,
        body,
        ..Ask::default()
    };
    // The texts tell of Go's types and parsers.
    scene
        .ask(false, "create of another kind", ask(body(&pod.to_string())))
        .await?;
    scene
        .ask(
            false,
            "create of half an object",
            ask(body("{\"metadata\":")),
        )
        .await?;
    scene
        .ask(
            false,
            "create of another type",
            ask(body("{\"metadata\":{\"name\":\"z\"},\"data\":\"x\"}")),
        )
        .await?;
    Ok(())
}

async fn updates(scene: &mut Scene<'_>, maps: &str) -> Result<()> {
    let one = format!("{maps}/x");
    let map = |metadata: serde_json::Value| json!({ "metadata": metadata, "data": { "a": "3" } });
    scene
        .send(
            "update from an old state",
            "PUT",
            &one,
            &map(json!({ "name": "x", "resourceVersion": "1" })),
        )
        .await?;
    scene
        .send(
            "update from no state",
            "PUT",
            &one,
            &map(json!({ "name": "x" })),
        )
        .await?;
    let found = scene.look(&one).await?;
    let version = found["metadata"]["resourceVersion"].clone();
    scene
        .send(
            "update that changes nothing",
            "PUT",
            &one,
            &map(json!({ "name": "x" })),
        )
        .await?;
    let same = scene.look(&one).await?["metadata"]["resourceVersion"] == version;
    scene.note(true, "no change is no version", json!(same));
    scene
        .send(
            "update by another name",
            "PUT",
            &one,
            &map(json!({ "name": "y" })),
        )
        .await?;
    scene
        .send(
            "update of nothing",
            "PUT",
            &format!("{maps}/nosuch"),
            &map(json!({ "name": "nosuch" })),
        )
        .await?;
    let body = Some(Bytes::from(
        map(json!({ "name": "x", "uid": "another" })).to_string(),
    ));
    // The text tells of etcd's keys.
    let ask = Ask {
        method: "PUT",
        path: &one,
        body,
        ..Ask::default()
    };
    scene.ask(false, "update of another object", ask).await?;
    Ok(())
}

async fn deletions(scene: &mut Scene<'_>, maps: &str) -> Result<()> {
    let one = format!("{maps}/x");
    for (title, body) in [
        (
            "delete another object",
            json!({ "preconditions": { "uid": "another" } }),
        ),
        (
            "delete an older state",
            json!({ "preconditions": { "resourceVersion": "1" } }),
        ),
    ] {
        scene.send(title, "DELETE", &one, &body).await?;
    }
    remove(scene, "delete", &one).await?;
    remove(scene, "delete again", &one).await?;
    let held = json!({ "metadata": { "name": "held", "finalizers": ["isthmus.io/held"] } });
    scene.given(maps, &held).await?;
    let one = format!("{maps}/held");
    remove(scene, "delete what is held", &one).await?;
    scene.get("what is held", &one).await?;
    scene
        .merge(&one, &json!({ "metadata": { "finalizers": null } }))
        .await?;
    scene.get("what was let go", &one).await?;
    scene
        .given(
            maps,
            &json!({ "metadata": { "name": "l", "labels": { "go": "yes" } } }),
        )
        .await?;
    let some = format!("{maps}?labelSelector=go%3Dyes");
    remove(scene, "delete some", &some).await?;
    scene.get("what is left of them", &some).await?;
    Ok(())
}

async fn remove(scene: &mut Scene<'_>, title: &str, path: &str) -> Result<()> {
    let ask = Ask {
        method: "DELETE",
        path,
        ..Ask::default()
    };
    scene.ask(true, title, ask).await.map(drop)
}
