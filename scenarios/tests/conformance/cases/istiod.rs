//! The ten streams that istiod opens at a remote cluster, as it opens them.

use anyhow::Result;
use serde_json::{Value, json};

use crate::subject::Scene;

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    definitions(scene).await?;
    let made = furnish(scene).await?;
    let space = scene.space.clone();
    let mut last = Vec::new();
    for stream in &streams(&space) {
        let mut lines = scene
            .watch(
                &format!("{}?{}{START}", stream.path, stream.fields),
                Some(stream.accept),
            )
            .await?;
        let mut events = lines.until(|event| event["type"] == "BOOKMARK").await?;
        last.push(
            events.last().unwrap()["object"]["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
        if let Some((path, patch)) = made.get(stream.name) {
            // What follows comes on the same stream.
            scene.merge(path, patch).await?;
            events.extend(
                lines
                    .until(|event| event["type"] == "MODIFIED" && is_of(event, path))
                    .await?,
            );
        }
        scene.heard(&format!("{}: from the start", stream.name), &events);
    }
    let mut known = last.iter();
    for stream in &streams(&space) {
        // Cut, and resumed at the last version that was heard of.
        let since = known.next().unwrap();
        let query = format!(
            "watch=true&allowWatchBookmarks=true&resourceVersion={since}&timeoutSeconds=400&timeout=6m40s"
        );
        if let Some((path, _)) = made.get(stream.name) {
            let mut lines = scene
                .watch(
                    &format!("{}?{}{query}", stream.path, stream.fields),
                    Some(stream.accept),
                )
                .await?;
            let events = lines
                .until(|event| event["type"] == "MODIFIED" && is_of(event, path))
                .await?;
            scene.heard(&format!("{}: resumed", stream.name), &events);
        }
    }
    fallback(scene).await?;
    forgotten(scene, &last).await
}

/// LIST and WATCH, where WatchList is refused.
async fn fallback(scene: &mut Scene<'_>) -> Result<()> {
    let all = format!(
        "/api/v1/namespaces/{}/services?limit=500&resourceVersion=0",
        scene.space
    );
    scene.get("services: the fallback's list", &all).await?;
    Ok(())
}

/// 410, and what istiod asks then.
async fn forgotten(scene: &mut Scene<'_>, last: &[String]) -> Result<()> {
    scene.subject.forget().await?;
    let space = scene.space.clone();
    for stream in &streams(&space) {
        scene.awake(&stream.path).await?;
    }
    for (stream, since) in streams(&space).iter().zip(last) {
        let resume = format!(
            "watch=true&allowWatchBookmarks=true&resourceVersion={since}&timeoutSeconds=400"
        );
        let mut lines = scene
            .watch(
                &format!("{}?{}{resume}", stream.path, stream.fields),
                Some(stream.accept),
            )
            .await?;
        let status = lines.status;
        let events = lines.until(|_| true).await?;
        scene.note(
            true,
            &format!("{}: status of a resumption after that", stream.name),
            json!(status),
        );
        scene.heard(
            &format!("{}: resumed after history was forgotten", stream.name),
            &events,
        );
        let again = format!("{START}&resourceVersion={since}");
        let mut lines = scene
            .watch(
                &format!("{}?{}{again}", stream.path, stream.fields),
                Some(stream.accept),
            )
            .await?;
        let events = lines.until(|event| event["type"] == "BOOKMARK").await?;
        scene.heard(
            &format!(
                "{}: from the start again, with the old version",
                stream.name
            ),
            &events,
        );
    }
    let custom = [
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/workloadentries.networking.istio.io",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gateways.gateway.networking.k8s.io",
    ];
    for path in custom {
        scene.delete(path).await?;
    }
    // No kubelet will let it go.
    let pod = format!("/api/v1/namespaces/{space}/pods/p?gracePeriodSeconds=0");
    scene.delete(&pod).await?;
    scene.delete(&format!("/api/v1/nodes/{space}-node")).await
}

struct Stream {
    name: &'static str,
    path: String,
    fields: &'static str,
    accept: &'static str,
}

fn streams(space: &str) -> Vec<Stream> {
    let stream = |name, path: &str, fields, accept| Stream {
        name,
        path: path.to_owned(),
        fields,
        accept,
    };
    let system = format!("/api/v1/namespaces/{space}/configmaps");
    let secrets = "fieldSelector=type%21%3Dhelm.sh%2Frelease.v1%2Ctype%21%3Dkubernetes.io%2Fservice-account-token&";
    vec![
        stream("namespaces", "/api/v1/namespaces", "", WHOLE),
        stream(
            "configmaps",
            &system,
            "fieldSelector=metadata.name%3Distio&",
            WHOLE,
        ),
        stream("nodes", "/api/v1/nodes", "", WHOLE),
        stream(
            "endpointslices",
            "/apis/discovery.k8s.io/v1/endpointslices",
            "",
            WHOLE,
        ),
        stream("secrets", "/api/v1/secrets", secrets, WHOLE),
        stream(
            "customresourcedefinitions",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            "",
            METADATA,
        ),
        stream(
            "pods",
            "/api/v1/pods",
            "fieldSelector=status.phase%21%3DFailed&",
            WHOLE,
        ),
        stream("services", "/api/v1/services", "", WHOLE),
        stream(
            "workloadentries",
            "/apis/networking.istio.io/v1/workloadentries",
            "",
            WHOLE,
        ),
        stream(
            "gateways",
            "/apis/gateway.networking.k8s.io/v1/gateways",
            "",
            WHOLE,
        ),
    ]
}

fn is_of(event: &Value, path: &str) -> bool {
    let name = event["object"]["metadata"]["name"]
        .as_str()
        .unwrap_or_default();
    let path = path.trim_end_matches("/status");
    path.ends_with(&format!("/{name}"))
}

async fn definitions(scene: &Scene<'_>) -> Result<()> {
    for (plural, group, kind) in [
        ("workloadentries", "networking.istio.io", "WorkloadEntry"),
        ("gateways", "gateway.networking.k8s.io", "Gateway"),
    ] {
        let mut metadata = json!({ "name": format!("{plural}.{group}") });
        if group.ends_with("k8s.io") {
            metadata["annotations"] =
                json!({ "api-approved.kubernetes.io": "unapproved, experimental-only" });
        }
        let definition = json!({
            "metadata": metadata,
            "spec": {
                "group": group, "scope": "Namespaced", "names": { "plural": plural, "kind": kind },
                "versions": [{
                    "name": "v1", "served": true, "storage": true,
                    "schema": { "openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    } },
                }],
            },
        });
        scene
            .given(
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                &definition,
            )
            .await?;
        // A real one serves it when its conditions say so, and a little later.
        let space = scene.space.clone();
        scene
            .until(
                &format!("/apis/{group}/v1/namespaces/{space}/{plural}"),
                |list| list["items"].is_array(),
            )
            .await?;
    }
    Ok(())
}

/// By stream: an object, and a patch that shall be heard of.
type Made = std::collections::BTreeMap<&'static str, (String, Value)>;

async fn furnish(scene: &Scene<'_>) -> Result<Made> {
    let space = scene.space.clone();
    let in_space = |plural: &str| format!("/api/v1/namespaces/{space}/{plural}");
    let mut made = Made::new();
    let labels = json!({ "metadata": { "labels": { "changed": "yes" } } });
    for (name, path, object) in objects(&space) {
        scene.given(&path, &object).await?;
        let one = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
        made.insert(name, (one, labels.clone()));
    }
    made.insert(
        "namespaces",
        (format!("/api/v1/namespaces/{space}"), labels.clone()),
    );
    let ready = json!({ "status": { "phase": "Running", "podIP": "10.1.2.3", "podIPs": [{ "ip": "10.1.2.3" }],
        "conditions": [{ "type": "Ready", "status": "True" }] } });
    made.insert("pods", (format!("{}/p/status", in_space("pods")), ready));
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gateways.gateway.networking.k8s.io";
    made.insert("customresourcedefinitions", (definition.to_owned(), labels));
    Ok(made)
}

const START: &str = "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=421&timeout=7m1s";
const WHOLE: &str = "application/json";
const METADATA: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// By stream: where an object goes, and the object.
fn objects(space: &str) -> [(&'static str, String, Value); 8] {
    let in_space = |plural: &str| format!("/api/v1/namespaces/{space}/{plural}");
    [
        (
            "configmaps",
            in_space("configmaps"),
            json!({ "metadata": { "name": "istio" }, "data": { "mesh": "trustDomain: x" } }),
        ),
        (
            "nodes",
            "/api/v1/nodes".to_owned(),
            json!({ "metadata": { "name": format!("{space}-node"), "labels": { "topology.kubernetes.io/zone": "z" } } }),
        ),
        (
            "secrets",
            in_space("secrets"),
            json!({ "metadata": { "name": "s" }, "stringData": { "a": "b" } }),
        ),
        (
            "services",
            in_space("services"),
            json!({ "metadata": { "name": "hello" }, "spec": {
            "ports": [{ "name": "http", "port": 80, "targetPort": 5000 }] } }),
        ),
        (
            "pods",
            in_space("pods"),
            json!({ "metadata": { "name": "p", "labels": { "app": "hello" } }, "spec": {
            "nodeName": format!("{space}-node"), "containers": [{ "name": "c", "image": "none" }] } }),
        ),
        (
            "endpointslices",
            format!("/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"),
            json!({
            "metadata": { "name": "hello-1", "labels": { "kubernetes.io/service-name": "hello" } },
            "addressType": "IPv4", "ports": [{ "name": "http", "port": 5000 }],
            "endpoints": [{ "addresses": ["10.1.2.3"], "conditions": { "ready": true } }] }),
        ),
        (
            "workloadentries",
            format!("/apis/networking.istio.io/v1/namespaces/{space}/workloadentries"),
            json!({
            "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
            "metadata": { "name": "w" }, "spec": { "address": "192.0.2.7" } }),
        ),
        (
            "gateways",
            format!("/apis/gateway.networking.k8s.io/v1/namespaces/{space}/gateways"),
            json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": { "name": "g" }, "spec": {} }),
        ),
    ]
}
