//! What becomes of objects: defaults, and rules that are broken.

use anyhow::Result;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::{http::Ask, subject::Scene};

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    services(scene).await?;
    pods(scene).await?;
    others(scene).await?;
    wrong(scene).await
}

async fn services(scene: &mut Scene<'_>) -> Result<()> {
    let path = format!("/api/v1/namespaces/{}/services", scene.space);
    for (title, name, spec) in [
        (
            "a Service",
            "a",
            json!({ "selector": { "app": "x" }, "ports": [{ "port": 80 }] }),
        ),
        (
            "a headless Service",
            "b",
            json!({ "clusterIP": "None", "selector": { "app": "x" },
            "ports": [{ "name": "a", "port": 80, "targetPort": "web" }] }),
        ),
        (
            "a headless Service that selects nothing",
            "c",
            json!({ "clusterIP": "None", "ports": [{ "port": 80 }] }),
        ),
        (
            "a Service behind a load balancer",
            "d",
            json!({ "type": "LoadBalancer", "ports": [{ "port": 80 }] }),
        ),
        (
            "a name for something else",
            "e",
            json!({ "type": "ExternalName", "externalName": "x.example" }),
        ),
    ] {
        scene
            .send(
                title,
                "POST",
                &path,
                &json!({ "metadata": { "name": name }, "spec": spec }),
            )
            .await?;
    }
    service_updates(scene, &path).await
}

async fn service_updates(scene: &mut Scene<'_>, path: &str) -> Result<()> {
    let update = json!({ "metadata": { "name": "a" }, "spec": { "ports": [{ "port": 81 }] } });
    scene
        .send(
            "an update without an address",
            "PUT",
            &format!("{path}/a"),
            &update,
        )
        .await?;
    let address = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } } });
    let (one, body) = (
        format!("{path}/d/status"),
        Some(Bytes::from(address.to_string())),
    );
    let media = Some("application/merge-patch+json");
    // A real one says by itself that the address is one to be proxied.
    scene
        .ask(
            true,
            "its address",
            Ask {
                method: "PATCH",
                path: &one,
                media,
                body,
                ..Ask::default()
            },
        )
        .await?;
    scene
        .ask(
            true,
            "delete",
            Ask {
                method: "DELETE",
                path: &format!("{path}/a"),
                ..Ask::default()
            },
        )
        .await?;
    Ok(())
}

async fn pods(scene: &mut Scene<'_>) -> Result<()> {
    let path = format!("/api/v1/namespaces/{}/pods", scene.space);
    let pod = |name: &str, spec: Value| json!({ "metadata": { "name": name, "labels": { "app": "x" } }, "spec": spec });
    let plain = json!({ "containers": [{ "name": "c", "image": "i:1", "ports": [{ "containerPort": 80 }],
        "readinessProbe": { "httpGet": { "port": 80 } } }] });
    scene.send("a pod", "POST", &path, &pod("a", plain)).await?;
    let sized = json!({ "serviceAccountName": "default", "nodeName": "nowhere", "containers": [
        { "name": "c", "image": "i", "resources": { "limits": { "cpu": 1, "memory": "64Mi" }, "requests": { "cpu": "500m" } } }] });
    scene
        .send("a pod of some size", "POST", &path, &pod("b", sized))
        .await?;
    let status = json!({ "metadata": { "name": "a" }, "spec": { "containers": [{ "name": "z", "image": "z" }] }, "status": {
        "phase": "Running", "podIP": "10.1.2.3", "podIPs": [{ "ip": "10.1.2.3" }],
        "conditions": [{ "type": "Ready", "status": "True" }] } });
    let found = scene
        .send("its status", "PUT", &format!("{path}/a/status"), &status)
        .await?;
    scene.note(
        true,
        "nothing else is written with it",
        found["spec"]["containers"][0]["name"].clone(),
    );
    let go = json!({ "gracePeriodSeconds": 5 });
    let one = format!("{path}/b");
    let found = scene
        .send("delete a pod that a kubelet has", "DELETE", &one, &go)
        .await?;
    scene.note(
        true,
        "it still has so long",
        found["metadata"]["deletionGracePeriodSeconds"].clone(),
    );
    scene.get("it is still there", &one).await?;
    scene
        .send(
            "delete it now",
            "DELETE",
            &one,
            &json!({ "gracePeriodSeconds": 0 }),
        )
        .await?;
    scene.get("it is gone", &one).await?;
    scene
        .ask(
            true,
            "delete a pod that nobody has",
            Ask {
                method: "DELETE",
                path: &format!("{path}/a"),
                ..Ask::default()
            },
        )
        .await?;
    Ok(())
}

async fn others(scene: &mut Scene<'_>) -> Result<()> {
    let space = scene.space.clone();
    let core = |plural: &str| format!("/api/v1/namespaces/{space}/{plural}");
    let name = |name: &str| json!({ "name": name });
    scene
        .send(
            "a secret",
            "POST",
            &core("secrets"),
            &json!({ "metadata": name("s"), "stringData": { "a": "b" } }),
        )
        .await?;
    scene
        .send(
            "an account",
            "POST",
            &core("serviceaccounts"),
            &json!({ "metadata": name("a") }),
        )
        .await?;
    let lease = json!({ "metadata": name("l"), "spec": { "holderIdentity": "x", "leaseDurationSeconds": 15 } });
    scene
        .send(
            "a lease",
            "POST",
            &format!("/apis/coordination.k8s.io/v1/namespaces/{space}/leases"),
            &lease,
        )
        .await?;
    let slice = json!({ "metadata": name("e"), "addressType": "IPv4", "endpoints": [{ "addresses": ["10.1.2.3"] }], "ports": [{ "port": 80 }] });
    scene
        .send(
            "a slice",
            "POST",
            &format!("/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"),
            &slice,
        )
        .await?;
    let empty = json!({ "metadata": name("f"), "addressType": "IPv4", "endpoints": [] });
    scene
        .send(
            "an empty slice",
            "POST",
            &format!("/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"),
            &empty,
        )
        .await?;
    cluster_wide(scene).await
}

async fn cluster_wide(scene: &mut Scene<'_>) -> Result<()> {
    let space = scene.space.clone();
    let name = |name: &str| json!({ "name": name });
    let node = json!({ "metadata": name(&format!("{space}-n")), "spec": { "podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"] } });
    let body = Some(Bytes::from(node.to_string()));
    // A real one waits for the node's kubelet, and taints it until then.
    scene
        .ask(
            false,
            "a node",
            Ask {
                method: "POST",
                path: "/api/v1/nodes",
                body,
                ..Ask::default()
            },
        )
        .await?;
    scene.delete(&format!("/api/v1/nodes/{space}-n")).await?;
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{space}");
    let role = json!({ "metadata": name("r"), "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }] });
    scene
        .send("a role", "POST", &format!("{rbac}/roles"), &role)
        .await?;
    let binding = json!({ "metadata": name("b"), "roleRef": { "kind": "Role", "name": "r" },
        "subjects": [{ "kind": "ServiceAccount", "name": "a", "namespace": space }, { "kind": "User", "name": "u" }] });
    scene
        .send(
            "a binding",
            "POST",
            &format!("{rbac}/rolebindings"),
            &binding,
        )
        .await?;
    Ok(())
}

async fn wrong(scene: &mut Scene<'_>) -> Result<()> {
    let space = scene.space.clone();
    let core = |plural: &str| format!("/api/v1/namespaces/{space}/{plural}");
    let service =
        |ports: Value| json!({ "metadata": { "name": "bad" }, "spec": { "ports": ports } });
    scene
        .send(
            "two ports without names",
            "POST",
            &core("services"),
            &service(json!([{ "port": 1 }, { "port": 2 }])),
        )
        .await?;
    scene
        .send("no ports", "POST", &core("services"), &service(json!([])))
        .await?;
    scene
        .send(
            "a port that is none",
            "POST",
            &core("services"),
            &service(json!([{ "port": 0 }])),
        )
        .await?;
    let pod = |spec: Value| json!({ "metadata": { "name": "bad" }, "spec": spec });
    scene
        .send("no containers", "POST", &core("pods"), &pod(json!({})))
        .await?;
    scene
        .send(
            "a container without an image",
            "POST",
            &core("pods"),
            &pod(json!({ "containers": [{ "name": "c" }] })),
        )
        .await?;
    scene
        .send(
            "a namespace that is no label",
            "POST",
            "/api/v1/namespaces",
            &json!({ "metadata": { "name": "A_b" } }),
        )
        .await?;
    wrong_workloads(scene).await
}

async fn wrong_workloads(scene: &mut Scene<'_>) -> Result<()> {
    let space = scene.space.clone();
    let deployments = format!("/apis/apps/v1/namespaces/{space}/deployments");
    let deployment = |labels: Value| {
        json!({ "metadata": { "name": "bad" }, "spec": {
        "selector": { "matchLabels": { "app": "d" } },
        "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "c", "image": "i" }] } } } })
    };
    scene
        .send(
            "a template that is not selected",
            "POST",
            &deployments,
            &deployment(json!({ "app": "e" })),
        )
        .await?;
    scene
        .send(
            "no template",
            "POST",
            &deployments,
            &json!({ "metadata": { "name": "bad" }, "spec": {} }),
        )
        .await?;
    Ok(())
}
