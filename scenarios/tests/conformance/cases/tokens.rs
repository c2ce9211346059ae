//! Tokens of accounts: made, reviewed, bound, and what they may.

use anyhow::Result;
use hyper::body::Bytes;
use scenarios::probe::eventually;
use serde_json::{Value, json};

use crate::{http::Ask, subject::Scene};

pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<()> {
    let space = scene.space.clone();
    let core = |plural: &str| format!("/api/v1/namespaces/{space}/{plural}");
    let request = core("serviceaccounts/reader/token");
    scene
        .given(
            &core("serviceaccounts"),
            &json!({ "metadata": { "name": "reader" } }),
        )
        .await?;
    scene
        .given(
            &core("secrets"),
            &json!({ "metadata": { "name": "anchor" } }),
        )
        .await?;
    let made = scene
        .send(
            "a token",
            "POST",
            &request,
            &json!({ "spec": { "expirationSeconds": 3600 } }),
        )
        .await?;
    let token = made["status"]["token"].as_str().unwrap().to_owned();
    scene
        .send(
            "a token of a moment",
            "POST",
            &request,
            &json!({ "spec": { "expirationSeconds": 3 } }),
        )
        .await?;
    scene
        .send(
            "a token of nobody",
            "POST",
            &core("serviceaccounts/nosuch/token"),
            &json!({ "spec": {} }),
        )
        .await?;
    let bound = |name: &str| json!({ "spec": { "boundObjectRef": { "kind": "Secret", "apiVersion": "v1", "name": name } } });
    let anchored = scene
        .send("a token that is bound", "POST", &request, &bound("anchor"))
        .await?;
    scene
        .send(
            "a token that is bound to nothing",
            "POST",
            &request,
            &bound("nosuch"),
        )
        .await?;
    reviews(scene, &token).await?;
    wire(scene).await?;
    rights(scene, &token).await?;
    revoked(scene, anchored["status"]["token"].as_str().unwrap()).await
}

async fn reviews(scene: &mut Scene<'_>, token: &str) -> Result<()> {
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let nobody = json!({ "spec": { "token": "nobody" } });
    scene
        .send("a review of a token of nobody", "POST", path, &nobody)
        .await?;
    for (title, spec) in [
        ("a review of a token", json!({ "token": token })),
        (
            "a review for another audience",
            json!({ "token": token, "audiences": ["istio-ca"] }),
        ),
    ] {
        let body = Bytes::from(json!({ "spec": spec }).to_string());
        let ask = Ask {
            method: "POST",
            path,
            token: Some(scene.subject.admin()),
            body: Some(body),
            ..Ask::default()
        };
        let answer = scene.subject.http.ask(&ask).await?;
        let mut found: Value = serde_json::from_str(&answer.text)?;
        // The name of the token is by chance.
        let id = "/status/user/extra/authentication.kubernetes.io~1credential-id/0";
        if let Some(id) = found.pointer_mut(id) {
            *id = json!("<id>");
        }
        let found = scene.normal.value(&found);
        scene.note(
            true,
            title,
            json!({ "status": answer.status, "body": found }),
        );
    }
    Ok(())
}

/// The same in Kubernetes' wire format, as istiod and kubectl send it.
async fn wire(scene: &mut Scene<'_>) -> Result<()> {
    let named = [
        field(1, b"authentication.k8s.io/v1"),
        field(2, b"TokenReview"),
    ]
    .concat();
    let spec = field(1, b"nobody");
    let object = [field(1, b""), field(2, &spec)].concat();
    let body = [
        &b"k8s\0"[..],
        &field(1, &named),
        &field(2, &object),
        &field(3, b""),
        &field(4, b""),
    ];
    let ask = Ask {
        method: "POST",
        path: "/apis/authentication.k8s.io/v1/tokenreviews",
        accept: Some("application/json"),
        media: Some("application/vnd.kubernetes.protobuf"),
        body: Some(Bytes::from(body.concat())),
        ..Ask::default()
    };
    scene.ask(true, "a review in the wire format", ask).await?;
    Ok(())
}

/// A field of a message that holds bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short contents only");
    [&[(number << 3) | 2, length], content].concat()
}

async fn rights(scene: &mut Scene<'_>, token: &str) -> Result<()> {
    let space = scene.space.clone();
    let core = |plural: &str| format!("/api/v1/namespaces/{space}/{plural}");
    for (title, method, path) in [
        ("a list without a right", "GET", core("pods")),
        ("an object without a right", "GET", core("pods/x")),
        (
            "a list of everywhere without a right",
            "GET",
            "/apis/discovery.k8s.io/v1/endpointslices".to_owned(),
        ),
        ("a creation without a right", "POST", core("pods")),
    ] {
        as_reader(scene, title, method, &path, token).await?;
    }
    grant(scene, token).await?;
    for (title, method, path) in [
        ("a list with a right", "GET", core("configmaps")),
        (
            "a watch without a right",
            "GET",
            core("configmaps?watch=true"),
        ),
        ("a secret with a right", "GET", core("secrets/anchor")),
        ("another secret", "GET", core("secrets/other")),
        ("all secrets", "GET", core("secrets")),
        ("a deletion", "DELETE", core("configmaps/x")),
    ] {
        as_reader(scene, title, method, &path, token).await?;
    }
    for (title, plural, spec) in [
        (
            "may the admin",
            "selfsubjectaccessreviews",
            json!({ "resourceAttributes": { "verb": "get", "resource": "pods" } }),
        ),
        (
            "may somebody",
            "subjectaccessreviews",
            json!({ "user": "bob", "resourceAttributes": { "verb": "get", "resource": "pods" } }),
        ),
    ] {
        let path = format!("/apis/authorization.k8s.io/v1/{plural}");
        scene
            .send(title, "POST", &path, &json!({ "spec": spec }))
            .await?;
    }
    Ok(())
}

/// Gives the account a role, and waits until it is heard of.
async fn grant(scene: &Scene<'_>, token: &str) -> Result<()> {
    let space = scene.space.clone();
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{space}");
    let role = json!({ "metadata": { "name": "r" }, "rules": [
        { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"] },
        { "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["anchor"], "verbs": ["get"] },
    ] });
    scene.given(&format!("{rbac}/roles"), &role).await?;
    let binding = json!({
        "metadata": { "name": "b" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r" },
        "subjects": [{ "kind": "ServiceAccount", "name": "reader", "namespace": space }],
    });
    scene
        .given(&format!("{rbac}/rolebindings"), &binding)
        .await?;
    let path = format!("/api/v1/namespaces/{space}/configmaps");
    // A real one hears of roles a little later.
    eventually(
        "the right",
        std::time::Duration::from_secs(60),
        async || {
            let ask = Ask {
                method: "GET",
                path: &path,
                token: Some(token),
                ..Ask::default()
            };
            let answer = scene.subject.http.ask(&ask).await?;
            anyhow::ensure!(answer.status == 200, "{}", answer.text);
            Ok(())
        },
    )
    .await
}

/// A token ends with what it is bound to; a real server believes it for ten seconds more.
async fn revoked(scene: &mut Scene<'_>, token: &str) -> Result<()> {
    scene
        .delete(&format!(
            "/api/v1/namespaces/{}/secrets/anchor",
            scene.space
        ))
        .await?;
    let path = format!("/api/v1/namespaces/{}/configmaps", scene.space);
    let refused = eventually(
        "the token is refused",
        std::time::Duration::from_secs(60),
        async || {
            let ask = Ask {
                method: "GET",
                path: &path,
                token: Some(token),
                ..Ask::default()
            };
            let answer = scene.subject.http.ask(&ask).await?;
            anyhow::ensure!(answer.status == 401, "{}", answer.status);
            Ok(())
        },
    );
    refused.await?;
    scene
        .ask(
            true,
            "with a token that is revoked",
            Ask {
                path: &path,
                token: Some(token),
                ..Ask::default()
            },
        )
        .await?;
    Ok(())
}

/// Asks with the account's token, and notes the answer.
async fn as_reader(
    scene: &mut Scene<'_>,
    title: &str,
    method: &str,
    path: &str,
    token: &str,
) -> Result<Value> {
    let body = (method != "GET").then(|| Bytes::from_static(b"{}"));
    scene
        .ask(
            true,
            title,
            Ask {
                method,
                path,
                token: Some(token),
                body,
                ..Ask::default()
            },
        )
        .await
}
