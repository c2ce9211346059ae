//! What our own discovery asks of a cluster, as it asks it.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{http::Ask, subject::Scene};

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    let space = scene.space.clone();
    furnish(scene).await?;
    let heartbeat = Ask {
        path: "/api/v1/namespaces/kube-system",
        accept: Some(ONE),
        ..Ask::default()
    };
    scene.ask(true, "the heartbeat", heartbeat).await?;
    scene
        .get(
            "a group that is not there",
            "/apis/multicluster.x-k8s.io/v1alpha1",
        )
        .await?;
    for (name, path, selector, accept, last) in subjects(&space) {
        let list = format!("{path}?{selector}&limit=500");
        let found = scene
            .ask(
                true,
                &format!("{name}: list"),
                Ask {
                    path: &list,
                    accept,
                    ..Ask::default()
                },
            )
            .await?;
        let since = found["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .to_owned();
        let query = format!(
            "{path}?{selector}&watch=true&timeoutSeconds=290&allowWatchBookmarks=true&resourceVersion={since}"
        );
        let accept = accept.map(|_| EACH);
        let mut lines = scene.watch(&query, accept).await?;
        if let Some((path, patch)) = last {
            scene.merge(&path, &patch).await?;
            let events = lines.until(|event| event["type"] == "MODIFIED").await?;
            scene.heard(&format!("{name}: watch"), &events);
        }
    }
    bookmark(scene).await?;
    scene.delete(&format!("/api/v1/nodes/{space}-node")).await
}

/// Near its end a watch says where it is, when something else has happened.
async fn bookmark(scene: &mut Scene<'_>) -> Result<()> {
    let space = scene.space.clone();
    let services = format!("/api/v1/namespaces/{space}/services");
    let found = scene.look(&services).await?;
    let since = found["metadata"]["resourceVersion"].as_str().unwrap();
    let query =
        format!("watch=true&timeoutSeconds=6&allowWatchBookmarks=true&resourceVersion={since}");
    let mut lines = scene.watch(&format!("{services}?{query}"), None).await?;
    let other = json!({ "metadata": { "name": "meanwhile" } });
    scene
        .given(&format!("/api/v1/namespaces/{space}/configmaps"), &other)
        .await?;
    let events = lines.until(|_| false).await?;
    let only = events.iter().all(|event| event["type"] == "BOOKMARK");
    // Whether there is one depends on how far the real one's cache has come.
    scene.note(
        true,
        "a watch with nothing to say ends with nothing but bookmarks",
        json!(only),
    );
    Ok(())
}

type Subject = (
    &'static str,
    String,
    String,
    Option<&'static str>,
    Option<(String, Value)>,
);

fn subjects(space: &str) -> Vec<Subject> {
    let in_space = |plural: &str| format!("/api/v1/namespaces/{space}/{plural}");
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices");
    let changed = json!({ "metadata": { "labels": { "changed": "yes" } } });
    let change = |path: String| Some((path, changed.clone()));
    let named = format!("fieldSelector=metadata.name%3D{space}");
    let node = format!("fieldSelector=metadata.name%3D{space}-node");
    vec![
        (
            "services",
            in_space("services"),
            String::new(),
            None,
            change(in_space("services/hello")),
        ),
        (
            "endpointslices",
            slices.clone(),
            "labelSelector=%21multicluster.kubernetes.io%2Fservice-name".into(),
            None,
            change(format!("{slices}/hello-1")),
        ),
        (
            "pods",
            in_space("pods"),
            "fieldSelector=status.phase%21%3DFailed".into(),
            None,
            change(in_space("pods/p")),
        ),
        (
            "nodes",
            "/api/v1/nodes".into(),
            node,
            Some(MANY),
            change(format!("/api/v1/nodes/{space}-node")),
        ),
        (
            "namespaces",
            "/api/v1/namespaces".into(),
            named,
            Some(MANY),
            change(format!("/api/v1/namespaces/{space}")),
        ),
        (
            "configmaps",
            in_space("configmaps"),
            "fieldSelector=metadata.name%3Distio".into(),
            None,
            change(in_space("configmaps/istio")),
        ),
        (
            "secrets",
            in_space("secrets"),
            "labelSelector=istio%2FmultiCluster%3Dtrue".into(),
            None,
            change(in_space("secrets/remote")),
        ),
    ]
}

async fn furnish(scene: &Scene<'_>) -> Result<()> {
    let space = scene.space.clone();
    let in_space = |plural: &str| format!("/api/v1/namespaces/{space}/{plural}");
    for (path, object) in [
        (
            in_space("services"),
            json!({ "metadata": { "name": "hello" }, "spec": { "clusterIP": "None", "selector": { "app": "none" },
            "ports": [{ "name": "http", "port": 80, "targetPort": "web" }] } }),
        ),
        (
            in_space("pods"),
            json!({ "metadata": { "name": "p" }, "spec": { "serviceAccountName": "hello",
            "containers": [{ "name": "c", "image": "none:1", "ports": [{ "containerPort": 1 }] }] } }),
        ),
        (
            in_space("configmaps"),
            json!({ "metadata": { "name": "istio" } }),
        ),
        (
            in_space("configmaps"),
            json!({ "metadata": { "name": "other" } }),
        ),
        (
            in_space("secrets"),
            json!({ "metadata": { "name": "remote", "labels": { "istio/multiCluster": "true" } } }),
        ),
        (
            in_space("secrets"),
            json!({ "metadata": { "name": "other" } }),
        ),
        (
            "/api/v1/nodes".to_owned(),
            json!({ "metadata": { "name": format!("{space}-node") } }),
        ),
        (
            format!("/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"),
            json!({
            "metadata": { "name": "hello-1" }, "addressType": "IPv4", "endpoints": [] }),
        ),
        (
            format!("/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"),
            json!({
            "metadata": { "name": "imported", "labels": { "multicluster.kubernetes.io/service-name": "x" } },
            "addressType": "IPv4", "endpoints": [] }),
        ),
    ] {
        scene.given(&path, &object).await?;
    }
    // The controller's own slice of the Service.
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices");
    scene
        .until(&slices, |list| {
            list["items"]
                .as_array()
                .is_some_and(|items| items.len() == 3)
        })
        .await?;
    Ok(())
}

const ONE: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const MANY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const EACH: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
