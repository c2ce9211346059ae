//! As much of OpenAPI v3 as kubectl asks for: which types there are, and that the server checks
//! their fields itself. It says nothing of the fields: `kubectl explain` finds none.

use bytes::Bytes;
use discovery::serve::kube::{
    Body,
    answer::{json as answer, whole},
};
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{kind::Kind, registry::Registry};

/// The document at a path.
pub(super) fn document(registry: &Registry, path: &str) -> Option<Response<Body>> {
    if path == "/openapi/v2" {
        let media = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        return Some(whole(StatusCode::OK, media, Bytes::from_static(NOTHING)));
    }
    let path = path.strip_prefix("/openapi/v3")?;
    let path = path.trim_matches('/');
    let kinds = registry.all();
    if path.is_empty() {
        let place = |kind: &Kind| place(&kind.resource.api_version());
        let entry = |place: String| {
            let url = json!({ "serverRelativeURL": format!("/openapi/v3/{place}") });
            (place, url)
        };
        let paths: Map<String, Value> = kinds.iter().map(|kind| entry(place(kind))).collect();
        return Some(shown(&json!({ "paths": paths })));
    }
    let here: Vec<_> = kinds
        .iter()
        .filter(|kind| place(&kind.resource.api_version()) == path)
        .collect();
    if here.is_empty() {
        return None;
    }
    let paths: Map<String, Value> = here.iter().map(|kind| operations(kind)).collect();
    let schemas: Map<String, Value> = here.iter().map(|kind| schema(kind)).collect();
    Some(shown(&json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "v1.36.3" },
        "paths": paths,
        "components": { "schemas": schemas },
    })))
}

fn shown(value: &Value) -> Response<Body> {
    answer(StatusCode::OK, value.to_string().into())
}

/// Where the document of a group version is.
fn place(api_version: &str) -> String {
    match api_version.contains('/') {
        true => format!("apis/{api_version}"),
        false => format!("api/{api_version}"),
    }
}

fn operations(kind: &Kind) -> (String, Value) {
    let resource = &kind.resource;
    let base = place(&resource.api_version());
    let namespace = if resource.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let path = format!("/{base}/{namespace}{}/{{name}}", resource.plural);
    let parameter = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string", "uniqueItems": true } });
    let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"].map(parameter);
    let patch = json!({
        "parameters": parameters,
        "responses": { "200": { "description": "OK" } },
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": id(kind),
    });
    (path, json!({ "patch": patch }))
}

fn schema(kind: &Kind) -> (String, Value) {
    let resource = &kind.resource;
    let group = if resource.group.is_empty() {
        "core"
    } else {
        &resource.group
    };
    let name = format!("isthmus.{group}.{}.{}", resource.version, resource.kind);
    let schema = json!({
        "type": "object",
        "description": format!("{}, whose fields this server does not describe.", resource.kind),
        "x-kubernetes-group-version-kind": [id(kind)],
    });
    (name, schema)
}

fn id(kind: &Kind) -> Value {
    let resource = &kind.resource;
    json!({ "group": resource.group, "kind": resource.kind, "version": resource.version })
}

/// An OpenAPI v2 document of no types, in the wire format in which kubectl asks for it before
/// it sends a `List`: it then leaves every check to the server.
const NOTHING: &[u8] = b"\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.36.3\x42\x00";
