//! Deployments, their pods, and the slices of Services. The case is the kubelet.

use anyhow::Result;
use serde_json::{Value, json};

use crate::subject::Scene;

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    let space = scene.space.clone();
    let deployments = format!("/apis/apps/v1/namespaces/{space}/deployments");
    let pods = format!("/api/v1/namespaces/{space}/pods");
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices");
    scene.given(&format!("/api/v1/namespaces/{space}/services"), &json!({
        "metadata": { "name": "hello", "labels": { "isthmus.io/export": "true" } },
        "spec": { "selector": { "app": "hello" }, "ports": [{ "name": "http", "port": 80, "targetPort": "web" }] },
    })).await?;
    note_all(scene, "the slice of nothing", &slices, |list| {
        count(list) == 1
    })
    .await?;
    scene.given(&deployments, &deployment()).await?;
    scene.until(&pods, |list| count(list) == 2).await?;
    let settled = |found: &Value| {
        found["status"]["replicas"] == 2
            && found["status"]["observedGeneration"] == 1
            && found["status"]["conditions"]
                .as_array()
                .is_some_and(|c| c.len() == 2)
    };
    let found = scene
        .until(&format!("{deployments}/hello"), settled)
        .await?;
    let sets = format!("/apis/apps/v1/namespaces/{space}/replicasets");
    note_all(scene, "its ReplicaSet", &sets, |list| {
        list["items"][0]["status"]["replicas"] == 2
            && list["items"][0]["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"]
                == "3"
    })
    .await?;
    let found = scene.normal.value(&found);
    scene.note(true, "the Deployment, with no pod ready", found);
    note_pods(scene, "its pods", &pods).await?;
    ready(scene, &deployments, &pods, &slices).await?;
    scaled(scene, &deployments, &pods).await?;
    scene.delete(&format!("{deployments}/hello")).await?;
    scene.delete(&format!("/api/v1/nodes/{space}-node")).await?;
    note_all(scene, "what is left of its ReplicaSets", &sets, |list| {
        count(list) == 0
    })
    .await?;
    Ok(())
}

/// Its pods run.
async fn ready(scene: &mut Scene<'_>, deployments: &str, pods: &str, slices: &str) -> Result<()> {
    run_pods(scene, pods).await?;
    let ready = |list: &Value| {
        let endpoints = list["items"][0]["endpoints"].as_array();
        endpoints.is_some_and(|all| {
            all.len() == 2 && all.iter().all(|e| e["conditions"]["ready"] == true)
        })
    };
    note_slice(scene, "the slice of two ready pods", slices, ready).await?;
    let done = |found: &Value| {
        found["status"]["availableReplicas"] == 2
            && found["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|c| c["reason"] == "NewReplicaSetAvailable")
    };
    let found = scene.until(&format!("{deployments}/hello"), done).await?;
    let mut status = scene.normal.value(&found["status"]);
    // The real one appends, we have an order; both name the same.
    if let Some(all) = status["conditions"].as_array_mut() {
        all.sort_by_key(|condition| condition["type"].to_string());
    }
    scene.note(true, "the Deployment's status, with all pods ready", status);
    Ok(())
}

async fn scaled(scene: &mut Scene<'_>, deployments: &str, pods: &str) -> Result<()> {
    let scale = format!("{deployments}/hello/scale");
    let found = scene.get("its scale", &scale).await?;
    let mut wanted = found.clone();
    wanted["spec"]["replicas"] = json!(3);
    scene.send("a larger scale", "PUT", &scale, &wanted).await?;
    scene
        .send("a scale from an old state", "PUT", &scale, &wanted)
        .await?;
    scene.until(pods, |list| count(list) == 3).await?;
    scene
        .merge(&scale, &json!({ "spec": { "replicas": 0 } }))
        .await?;
    // Those that no kubelet has go at once, the others when theirs lets them go.
    let going = |list: &Value| {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|pod| pod["metadata"]["deletionTimestamp"].is_string())
    };
    let list = scene
        .until(pods, |list| count(list) == 2 && going(list))
        .await?;
    for pod in list["items"].as_array().unwrap() {
        let path = format!(
            "{pods}/{}?gracePeriodSeconds=0",
            pod["metadata"]["name"].as_str().unwrap()
        );
        scene.delete(&path).await?;
    }
    scene.until(pods, |list| count(list) == 0).await?;
    Ok(())
}

/// What a scheduler and a kubelet do.
async fn run_pods(scene: &Scene<'_>, pods: &str) -> Result<()> {
    let node = format!("{}-node", scene.space);
    let labels = json!({ "topology.kubernetes.io/zone": "z1" });
    scene
        .given(
            "/api/v1/nodes",
            &json!({ "metadata": { "name": node, "labels": labels } }),
        )
        .await?;
    let list = scene.look(pods).await?;
    for (at, pod) in list["items"].as_array().unwrap().iter().enumerate() {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let binding =
            json!({ "metadata": { "name": name }, "target": { "kind": "Node", "name": node } });
        scene
            .given(&format!("{pods}/{name}/binding"), &binding)
            .await?;
        let address = format!("10.1.2.{at}");
        scene
            .merge(
                &format!("{pods}/{name}/status"),
                &json!({ "status": {
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        } }),
            )
            .await?;
    }
    Ok(())
}

async fn note_all(
    scene: &mut Scene<'_>,
    title: &str,
    path: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<()> {
    let found = scene.until(path, wanted).await?;
    let found = scene.normal.value(&found);
    scene.note(true, title, found);
    Ok(())
}

/// Pods, but for what is theirs alone: their names are by chance, and so is their order.
async fn note_pods(scene: &mut Scene<'_>, title: &str, path: &str) -> Result<()> {
    let found = scene.look(path).await?;
    let mut pod = found["items"][0].clone();
    pod["metadata"]["name"] = json!("<name>");
    pod["metadata"]["uid"] = json!("<uid>");
    let pod = scene.normal.value(&pod);
    scene.note(true, title, pod);
    Ok(())
}

async fn note_slice(
    scene: &mut Scene<'_>,
    title: &str,
    path: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<()> {
    let mut found = scene.until(path, wanted).await?;
    for endpoint in found["items"][0]["endpoints"].as_array_mut().unwrap() {
        for name in ["name", "uid"] {
            endpoint["targetRef"][name] = json!(format!("<{name}>"));
        }
    }
    // No order is promised.
    found["items"][0]["endpoints"]
        .as_array_mut()
        .unwrap()
        .sort_by_key(|e| e["addresses"].to_string());
    // How often it was written is by chance.
    found["items"][0]["metadata"]["generation"] = json!("<generation>");
    let found = scene.normal.value(&found);
    scene.note(true, title, found);
    Ok(())
}

fn count(list: &Value) -> usize {
    list["items"].as_array().map_or(0, Vec::len)
}

fn deployment() -> Value {
    json!({
        "metadata": { "name": "hello" },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": "hello" } },
            "template": {
                "metadata": { "labels": { "app": "hello" } },
                "spec": { "containers": [
                    { "name": "c", "image": "i:1", "ports": [{ "name": "web", "containerPort": 5000 }] },
                ] },
            },
        },
    })
}
