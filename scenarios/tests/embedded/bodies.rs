//! Bodies that nobody sane sends: each is answered, and the server goes on.

use http::{Method, Request};
use scenarios::apiserver::{ApiServer, ApiServerConfig};
use serde_json::Value;

/// The status of the answer to a request.
async fn ask(server: &ApiServer, method: &Method, path: &str, media: &str, body: &str) -> u16 {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .body(kube::client::Body::from(body.as_bytes().to_vec()))
        .unwrap();
    // An answer of any kind: a connection that is cut would be an error here.
    server
        .admin()
        .client()
        .send(request)
        .await
        .unwrap()
        .status()
        .as_u16()
}

async fn collections(server: &ApiServer) -> Vec<String> {
    let mut found = Vec::new();
    for base in [
        "/api/v1",
        "/apis/apps/v1",
        "/apis/discovery.k8s.io/v1",
        "/apis/coordination.k8s.io/v1",
        "/apis/apiextensions.k8s.io/v1",
        "/apis/rbac.authorization.k8s.io/v1",
        "/apis/authentication.k8s.io/v1",
        "/apis/authorization.k8s.io/v1",
        "/apis/odd.example/v1",
    ] {
        let request = Request::get(base).body(Vec::new()).unwrap();
        let list: Value = server.admin().client().request(request).await.unwrap();
        for resource in list["resources"].as_array().unwrap() {
            let name = resource["name"].as_str().unwrap();
            found.push(match resource["namespaced"] == true {
                true => format!("{base}/namespaces/default/{name}"),
                false => format!("{base}/{name}"),
            });
        }
    }
    found
}

#[tokio::test]
async fn no_body_is_left_without_an_answer() {
    let server = ApiServer::start(ApiServerConfig::new("c1")).await.unwrap();
    let odd = r#"{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition",
        "metadata":{"name":"odds.odd.example"},"spec":{"group":"odd.example","scope":"Namespaced",
        "names":{"plural":"odds","kind":"Odd"},"versions":[{"name":"v1","served":true,"storage":true,
        "subresources":{"status":{},"scale":{"specReplicasPath":".a.b","statusReplicasPath":""}}}]}}"#;
    server.load(odd).unwrap();
    let mut asked = 0;
    for path in collections(&server).await {
        let (parent, part) = match path.rsplit_once('/') {
            Some((parent, part))
                if ["status", "scale", "token", "binding", "finalize"].contains(&part) =>
            {
                (parent, part)
            }
            _ => (path.as_str(), ""),
        };
        let one = match part {
            "" => format!("{parent}/x"),
            part => format!("{parent}/x/{part}"),
        };
        // `x` exists, where it can.
        let kind = if parent.contains("odd") { "Odd" } else { "" };
        let made = format!(
            r#"{{"apiVersion":"odd.example/v1","kind":"{kind}","metadata":{{"name":"x"}}}}"#
        );
        let made = if kind.is_empty() {
            r#"{"metadata":{"name":"x"}}"#.to_owned()
        } else {
            made
        };
        ask(&server, &Method::POST, parent, "application/json", &made).await;
        for body in BODIES {
            for (method, media) in [
                (&Method::POST, "application/json"),
                (&Method::PUT, "application/json"),
                (&Method::PATCH, "application/merge-patch+json"),
                (&Method::PATCH, "application/strategic-merge-patch+json"),
                (&Method::PATCH, "application/json-patch+json"),
                (&Method::PATCH, "application/apply-patch+yaml"),
                (&Method::POST, "application/vnd.kubernetes.protobuf"),
            ] {
                let path = if method == Method::POST && part.is_empty() {
                    parent
                } else {
                    &one
                };
                let path = format!("{path}?fieldManager=me&force=true");
                let code = ask(&server, method, &path, media, body).await;
                assert!((200..600).contains(&code));
                asked += 1;
            }
        }
        ask(&server, &Method::DELETE, &one, "application/json", "[]").await;
        ask(&server, &Method::DELETE, &one, "application/json", "{}").await;
    }
    assert!(asked > 1000, "{asked}");
    server.stop().await;
}

const BODIES: [&str; 14] = [
    "",
    "{}",
    "[]",
    "null",
    "7",
    "{\"metadata\":null}",
    "{\"metadata\":[]}",
    "{\"metadata\":{\"name\":\"x\",\"labels\":7}}",
    "{\"metadata\":{\"name\":\"x\"},\"spec\":null,\"status\":null}",
    "{\"metadata\":{\"name\":\"x\"},\"spec\":7,\"status\":7}",
    "{\"metadata\":{\"name\":\"x\"},\"spec\":{},\"status\":{}}",
    "{\"apiVersion\":\"odd.example/v1\",\"kind\":\"Odd\",\"metadata\":{\"name\":\"x\"},\"spec\":[],\"status\":\"s\"}",
    "[{\"op\":\"replace\",\"path\":\"\",\"value\":7}]",
    "[{\"op\":\"remove\",\"path\":\"/metadata\"}]",
];
