//! Lists in pages.

use anyhow::Result;
use serde_json::json;

use crate::{http::Ask, subject::Scene};

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    let maps = format!("/api/v1/namespaces/{}/configmaps", scene.space);
    for name in ["d", "b", "a", "c", "e"] {
        scene
            .given(
                &maps,
                &json!({ "metadata": { "name": name, "labels": { "is": name } } }),
            )
            .await?;
    }
    let first = scene
        .get("the first page", &format!("{maps}?limit=2"))
        .await?;
    scene.delete(&format!("{maps}/c")).await?;
    scene
        .given(&maps, &json!({ "metadata": { "name": "f" } }))
        .await?;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = scene
        .get(
            "the second page, of the version of the first",
            &format!("{maps}?limit=2&continue={token}"),
        )
        .await?;
    let version = |list: &serde_json::Value| list["metadata"]["resourceVersion"].clone();
    scene.note(
        true,
        "both pages are of one version",
        json!(version(&first) == version(&second)),
    );
    let rest = second["metadata"]["continue"].as_str().unwrap();
    scene
        .get("the last page", &format!("{maps}?limit=2&continue={rest}"))
        .await?;
    scene
        .get(
            "a page of what is selected",
            &format!("{maps}?limit=1&labelSelector=is"),
        )
        .await?;
    scene
        .get(
            "any version is never cut",
            &format!("{maps}?limit=2&resourceVersion=0"),
        )
        .await?;
    let since = first["metadata"]["resourceVersion"].as_str().unwrap();
    versions(scene, &maps, (since, token, rest)).await
}

async fn versions(
    scene: &mut Scene<'_>,
    maps: &str,
    (since, token, rest): (&str, &str, &str),
) -> Result<()> {
    let exact = format!("{maps}?resourceVersion={since}&resourceVersionMatch=Exact");
    scene
        .get("the version of the first page, exactly", &exact)
        .await?;
    scene
        .get(
            "not older than that",
            &format!("{maps}?resourceVersion={since}&resourceVersionMatch=NotOlderThan"),
        )
        .await?;
    let both = format!("{maps}?continue={rest}&resourceVersion={since}");
    scene.get("a version and a page", &both).await?;
    scene.subject.forget().await?;
    scene.awake(maps).await?;
    scene.get("a version that is forgotten", &exact).await?;
    let path = format!("{maps}?limit=2&continue={token}");
    scene
        .ask(
            true,
            "a page of a version that is forgotten",
            Ask {
                path: &path,
                ..Ask::default()
            },
        )
        .await?;
    Ok(())
}
