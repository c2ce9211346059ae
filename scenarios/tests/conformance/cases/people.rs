//! kubectl, as people use it.

use anyhow::Result;
use serde_json::{Value, json};

use crate::subject::Scene;

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    scene
        .kubectl(true, "apply -f -", &objects("i:1", 2))
        .await?;
    settle(scene, 2).await?;
    scene
        .kubectl(true, "apply -f -", &objects("i:1", 2))
        .await?;
    shown(scene).await?;
    changed(scene).await?;
    watched(scene).await?;
    served(scene).await?;
    removed(scene).await
}

/// What there is.
async fn shown(scene: &mut Scene<'_>) -> Result<()> {
    for line in [
        "get services",
        "get services -o wide",
        "get deployments -o wide",
        "get replicasets -o wide",
        "get configmaps,secrets,serviceaccounts",
        "get configmaps edited -o yaml",
        "get service hello -o jsonpath={.spec.ports[0].targetPort}",
        "get pods --no-headers -l app=none",
        "get pods nosuch",
        "get nosuch",
        "get pods -o custom-columns=PHASE:.status.phase",
        "get pods --field-selector status.phase=Running",
        "get configmaps --show-labels",
        "get configmaps edited -o name",
        "describe service hello",
        "describe configmap edited",
        "get endpointslices",
        "explain nosuch",
    ] {
        scene.kubectl(true, line, "").await?;
    }
    // The hash of a template is another one, and with it the events' order.
    scene.kubectl(true, "describe deployment hello", "").await?;
    Ok(())
}

async fn changed(scene: &mut Scene<'_>) -> Result<()> {
    for line in [
        "label service hello team=a",
        "label service hello team=b",
        "label service hello team=b --overwrite",
        "label service hello team-",
        "annotate configmap edited note=x",
        "scale deployment hello --replicas=3",
        "patch configmap edited -p {\"data\":{\"a\":\"2\"}}",
        "patch configmap edited --type=json -p [{\"op\":\"add\",\"path\":\"/data/b\",\"value\":\"3\"}]",
        "edit configmap edited",
        "edit service hello",
        "set image deployment/hello c=i:2",
        "create configmap made --from-literal=a=b",
        "create serviceaccount made",
        "create secret generic made --from-literal=a=b",
        "replace -f -",
    ] {
        let input = if line.starts_with("replace") {
            REPLACED
        } else {
            ""
        };
        scene.kubectl(true, line, input).await?;
    }
    settle(scene, 3).await?;
    scene.kubectl(true, "get deployment hello -o jsonpath={.spec.replicas}{.spec.template.spec.containers[0].image}", "").await?;
    scene
        .kubectl(
            true,
            "get service hello -o jsonpath={.spec.ports}{.metadata.labels}",
            "",
        )
        .await?;
    scene
        .kubectl(true, "apply -f -", &objects("i:3", 2))
        .await?;
    scene
        .kubectl(
            true,
            "apply --server-side --force-conflicts -f -",
            SERVER_SIDE,
        )
        .await?;
    scene
        .kubectl(true, "apply --server-side -f -", SERVER_SIDE)
        .await?;
    scene.kubectl(true, "diff -f -", SERVER_SIDE).await?;
    scene.kubectl(true, "apply -f -", WRONG).await?;
    scene
        .kubectl(true, "get configmap sided -o jsonpath={.data}", "")
        .await?;
    scene
        .kubectl(true, "apply --dry-run=server -f -", TRIED)
        .await?;
    scene.kubectl(true, "get configmap tried", "").await?;
    Ok(())
}

/// `get -w` and `wait`.
async fn watched(scene: &mut Scene<'_>) -> Result<()> {
    let space = scene.space.clone();
    let arguments = [
        "-n",
        &space,
        "get",
        "configmaps",
        "-w",
        "--output-watch-events",
        "-l",
        "watched=yes",
    ];
    let mut going = scene.subject.kubectl()?.follow(&arguments)?;
    let maps = format!("/api/v1/namespaces/{space}/configmaps");
    let mut lines = Vec::new();
    // It lists first, and what is there then is in the list: begin with something.
    scene
        .given(
            &maps,
            &json!({ "metadata": { "name": "watched", "labels": { "watched": "yes" } } }),
        )
        .await?;
    lines.push(going.next().await?);
    lines.push(going.next().await?);
    scene
        .merge(&format!("{maps}/watched"), &json!({ "data": { "a": "b" } }))
        .await?;
    lines.push(going.next().await?);
    scene.delete(&format!("{maps}/watched")).await?;
    lines.push(going.next().await?);
    let lines = scene.normal.text(&lines.join("\n"));
    scene.note(true, "kubectl get -w", json!(lines));
    scene
        .kubectl(
            true,
            "wait --for=jsonpath={.data.a}=2 configmap/edited --timeout=20s",
            "",
        )
        .await?;
    Ok(())
}

/// What is served, of what both serve.
async fn served(scene: &mut Scene<'_>) -> Result<()> {
    let said = scene
        .subject
        .kubectl()?
        .run(&["api-resources", "--no-headers"], "")
        .await?;
    let known = [
        "configmaps",
        "deployments",
        "endpointslices",
        "leases",
        "namespaces",
        "nodes",
        "pods",
        "replicasets",
        "secrets",
        "serviceaccounts",
        "services",
        "customresourcedefinitions",
        "events",
    ];
    let lines = scene.normal.text(&said.out);
    let lines: Vec<&String> = lines
        .iter()
        .filter(|line| {
            known.contains(&line.split(' ').next().unwrap_or_default())
                && !line.contains("events.k8s.io")
        })
        .collect();
    let lines = json!(lines);
    scene.note(true, "kubectl api-resources", lines);
    scene.kubectl(true, "auth can-i get pods", "").await?;
    scene.kubectl(true, "auth whoami", "").await?;
    let said = scene
        .subject
        .kubectl()?
        .run(&["-n", &scene.space, "create", "token", "made"], "")
        .await?;
    let parts = said.out.trim().split('.').count();
    scene.note(true, "kubectl create token", json!([said.code, parts]));
    scene.kubectl(false, "explain pods", "").await?;
    scene.kubectl(false, "version", "").await?;
    Ok(())
}

async fn removed(scene: &mut Scene<'_>) -> Result<()> {
    for line in [
        "delete configmap edited sided made",
        "delete configmap edited",
        "delete configmap edited --ignore-not-found",
        "delete secrets --all",
        "delete deployment hello",
        "delete -f - --ignore-not-found",
    ] {
        let input = if line.contains("-f") {
            objects("i:1", 2)
        } else {
            String::new()
        };
        scene.kubectl(true, line, &input).await?;
    }
    let other = format!("{}-b", scene.space);
    scene
        .kubectl(true, &format!("create namespace {other}"), "")
        .await?;
    scene
        .kubectl(true, &format!("get namespace {other}"), "")
        .await?;
    scene
        .kubectl(true, &format!("delete namespace {other}"), "")
        .await?;
    Ok(())
}

/// Waits until the controllers have done what they do.
async fn settle(scene: &mut Scene<'_>, replicas: i64) -> Result<()> {
    let space = scene.space.clone();
    let path = format!("/apis/apps/v1/namespaces/{space}/deployments/hello");
    let found = scene.until(&path, |found| {
        let status = &found["status"];
        status["observedGeneration"] == found["metadata"]["generation"]
            && status["replicas"].as_i64().unwrap_or_default() >= replicas
            && status["conditions"]
                .as_array()
                .is_some_and(|all| all.len() == 2)
    });
    found.await?;
    // Names that are by chance, so that they are known when kubectl says them.
    for plural in [
        "apis/apps/v1/namespaces/{}/replicasets",
        "api/v1/namespaces/{}/pods",
        "apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
        "api/v1/namespaces/{}/services",
    ] {
        let list: Value = scene
            .look(&format!("/{}", plural.replace("{}", &space)))
            .await?;
        scene.normal.value(&list);
    }
    Ok(())
}

fn objects(image: &str, replicas: i64) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "edited" }, "data": { "a": "1" } },
        { "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "stringData": { "a": "1" } },
        { "apiVersion": "v1", "kind": "Service", "metadata": { "name": "hello" }, "spec": {
            "selector": { "app": "hello" }, "ports": [{ "name": "http", "port": 80, "targetPort": "web" }] } },
        { "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "hello" }, "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": "hello" } },
            "template": { "metadata": { "labels": { "app": "hello" } }, "spec": { "containers": [
                { "name": "c", "image": image, "ports": [{ "name": "web", "containerPort": 5000 }] },
            ] } } } },
    ] })
    .to_string()
}

const REPLACED: &str =
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"made"},"data":{"c":"d"}}"#;
const SERVER_SIDE: &str =
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"sided"},"data":{"a":"1"}}"#;
const WRONG: &str =
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"wrong"},"daaata":{"a":"1"}}"#;
const TRIED: &str =
    r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"tried"},"data":{"a":"1"}}"#;
