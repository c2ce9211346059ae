//! What a server says of itself. The real one serves more: what both serve is compared.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{http::Ask, subject::Scene};

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    for path in [
        "/api/v1",
        "/apis/apps/v1",
        "/apis/discovery.k8s.io/v1",
        "/apis/coordination.k8s.io/v1",
        "/apis/apiextensions.k8s.io/v1",
        "/apis/rbac.authorization.k8s.io/v1",
        "/apis/authentication.k8s.io/v1",
        "/apis/authorization.k8s.io/v1",
    ] {
        let mut found = scene.look(path).await?;
        let resources = found["resources"].as_array_mut().unwrap();
        resources.retain(|resource| is_served(resource["name"].as_str().unwrap()));
        for resource in resources.iter_mut() {
            resource
                .as_object_mut()
                .unwrap()
                .remove("storageVersionHash");
        }
        scene.note(true, &format!("GET {path}"), found);
    }
    for path in ["/apis/apps", "/apis/nosuch"] {
        scene.get(&format!("GET {path}"), path).await?;
    }
    for path in ["/api", "/apis"] {
        aggregated(scene, path).await?;
        let found = scene.look(path).await?;
        let mut groups: Vec<Value> = found["groups"]
            .as_array()
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        groups.retain(|group| GROUPS.contains(&group["name"].as_str().unwrap()));
        groups.sort_by_key(|group| group["name"].to_string());
        scene.note(true, &format!("GET {path}, the groups"), json!(groups));
    }
    // Where the documents of the types are that both serve; what is in them is Kubernetes' own.
    let found = scene.look("/openapi/v3").await?;
    let places = found["paths"].as_object().unwrap().keys().filter(|place| {
        *place == "api/v1"
            || GROUPS
                .iter()
                .any(|group| **place == format!("apis/{group}/v1"))
    });
    let places: Vec<_> = places
        .filter(|place| {
            !place.contains("authenti") && !place.contains("authorization.k8s.io/v1")
                || place.contains("rbac")
        })
        .collect();
    scene.note(true, "GET /openapi/v3, the places", json!(places));
    Ok(())
}

/// As kubectl asks.
async fn aggregated(scene: &mut Scene<'_>, path: &str) -> Result<()> {
    let accept = Some(
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
    );
    let ask = Ask {
        method: "GET",
        path,
        accept,
        token: Some(scene.subject.admin()),
        ..Ask::default()
    };
    let answer = scene.subject.http.ask(&ask).await?;
    let mut found: Value = serde_json::from_str(&answer.text)?;
    let groups = found["items"].as_array_mut().unwrap();
    groups.retain(|group| {
        group["metadata"]["name"]
            .as_str()
            .is_none_or(|name| GROUPS.contains(&name))
    });
    groups.sort_by_key(|group| group["metadata"]["name"].to_string());
    for group in groups {
        group["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("creationTimestamp");
        for version in group["versions"].as_array_mut().unwrap() {
            // Said for groups only.
            version.as_object_mut().unwrap().remove("freshness");
            let resources = version["resources"].as_array_mut().unwrap();
            resources.retain(|resource| is_served(resource["resource"].as_str().unwrap()));
            for resource in resources.iter_mut() {
                let plural = resource["resource"].as_str().unwrap_or_default().to_owned();
                if let Some(parts) = resource["subresources"].as_array_mut() {
                    parts.retain(|part| {
                        is_served(&format!(
                            "{plural}/{}",
                            part["subresource"].as_str().unwrap()
                        ))
                    });
                    parts.iter_mut().for_each(without_empty);
                }
                without_empty(resource);
            }
        }
    }
    scene.note(
        true,
        &format!("GET {path}, aggregated"),
        json!({ "media": answer.media, "body": found }),
    );
    Ok(())
}

/// Empty groups and versions are those of the list in either server.
fn without_empty(resource: &mut Value) {
    if let Some(kind) = resource["responseKind"].as_object_mut() {
        kind.retain(|name, _| name == "kind");
    }
}

/// What the embedded server serves.
fn is_served(name: &str) -> bool {
    let (plural, part) = name.split_once('/').unwrap_or((name, ""));
    let known = [
        "namespaces",
        "nodes",
        "pods",
        "services",
        "secrets",
        "configmaps",
        "serviceaccounts",
        "events",
        "deployments",
        "replicasets",
        "endpointslices",
        "leases",
        "customresourcedefinitions",
        "roles",
        "rolebindings",
        "clusterroles",
        "clusterrolebindings",
        "tokenreviews",
        "selfsubjectreviews",
        "subjectaccessreviews",
        "selfsubjectaccessreviews",
    ];
    known.contains(&plural)
        && ["", "status", "scale", "token", "binding", "finalize"].contains(&part)
}

const GROUPS: [&str; 7] = [
    "apps",
    "discovery.k8s.io",
    "coordination.k8s.io",
    "apiextensions.k8s.io",
    "rbac.authorization.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
];
