//! What the server says of itself: its groups, versions and types.

use std::collections::BTreeMap;

use bytes::Bytes;
use discovery::serve::kube::{
    Accept, Body, Call,
    answer::{json as answer, whole},
};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{kind::Kind, registry::Registry};

/// Pages that everybody may see.
pub(super) fn open(path: &str) -> Option<Response<Body>> {
    match path {
        "/healthz" | "/livez" | "/readyz" => Some(whole(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            Bytes::from_static(b"ok"),
        )),
        "/version" => {
            let version = json!({
                "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
                "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
                "gitVersion": "v1.36.3", "gitCommit": "isthmus", "gitTreeState": "",
                "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
                "platform": "embedded",
            });
            Some(answer(StatusCode::OK, version.to_string().into()))
        }
        _ => None,
    }
}

/// The document that a call names.
pub(super) fn of(registry: &Registry, call: &Call, accept: &Accept) -> Option<Response<Body>> {
    let groups = Groups::of(registry);
    let plain = |value: Value| Some(answer(StatusCode::OK, value.to_string().into()));
    match call {
        Call::Groups { named } => {
            let wanted = accept.clauses().iter().find(|clause| clause.is_json());
            match wanted.filter(|clause| clause.kind == "APIGroupDiscoveryList") {
                Some(clause) if matches!(clause.version.as_str(), "v2" | "v2beta1") => {
                    Some(groups.aggregated(*named, &clause.version))
                }
                _ if *named => plain(groups.list()),
                _ => plain(json!({
                    "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [],
                })),
            }
        }
        Call::Group(name) => groups.0.get(name).map(|versions| {
            let mut group = group(name, versions);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            answer(StatusCode::OK, group.to_string().into())
        }),
        Call::Version { group, version } => {
            let kinds = groups.0.get(group)?.get(version)?;
            let resources: Vec<Value> = kinds.iter().flat_map(Entry::plain).collect();
            let group_version = match group.as_str() {
                "" => version.clone(),
                group => format!("{group}/{version}"),
            };
            let mut list = json!({
                "kind": "APIResourceList", "groupVersion": group_version, "resources": resources,
            });
            if !group.is_empty() {
                list["apiVersion"] = json!("v1");
            }
            plain(list)
        }
        Call::Resource(_) | Call::Other => None,
    }
}

/// Whether a group version holds nothing but reviews.
pub(super) fn is_review_group(group: &str, version: &str) -> bool {
    version == "v1" && REVIEWS.iter().any(|(known, _, _)| *known == group)
}

/// Versions of groups, and what is in each.
struct Groups(BTreeMap<String, BTreeMap<String, Vec<Entry>>>);

/// A type, or a part of one, as documents name it.
struct Entry {
    name: String,
    singular: String,
    kind: String,
    /// Group and version of the kind, where they are not those of the list.
    of: Option<(&'static str, &'static str)>,
    namespaced: bool,
    verbs: Vec<&'static str>,
    short_names: Vec<String>,
    categories: Vec<String>,
    parts: Vec<Entry>,
}

impl Groups {
    fn of(registry: &Registry) -> Self {
        let mut groups: BTreeMap<String, BTreeMap<String, Vec<Entry>>> = BTreeMap::new();
        for kind in registry.all() {
            let resource = &kind.resource;
            let versions = groups.entry(resource.group.clone()).or_default();
            versions
                .entry(resource.version.clone())
                .or_default()
                .push(Entry::of(&kind));
        }
        for (group, plural, kind) in REVIEWS {
            let versions = groups.entry(group.to_owned()).or_default();
            versions
                .entry("v1".to_owned())
                .or_default()
                .push(Entry::review(plural, kind));
        }
        Self(groups)
    }

    fn list(&self) -> Value {
        let named = self.0.iter().filter(|(name, _)| !name.is_empty());
        let groups: Vec<Value> = named
            .map(|(name, versions)| group(name, versions))
            .collect();
        json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
    }

    fn aggregated(&self, named: bool, form: &str) -> Response<Body> {
        let groups = self.0.iter().filter(|(name, _)| name.is_empty() != named);
        let items: Vec<Value> =
            groups
                .map(|(name, versions)| {
                    let versions = versions.iter().rev().map(|(version, entries)| {
                    let resources: Vec<_> =
                        entries.iter().map(|entry| entry.aggregated(name, version)).collect();
                    json!({ "version": version, "resources": resources, "freshness": "Current" })
                });
                    let versions: Vec<Value> = versions.collect();
                    let metadata = if named {
                        json!({ "name": name })
                    } else {
                        json!({})
                    };
                    json!({ "metadata": metadata, "versions": versions })
                })
                .collect();
        let list = json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": format!("apidiscovery.k8s.io/{form}"),
            "metadata": {},
            "items": items,
        });
        let mut found = answer(StatusCode::OK, list.to_string().into());
        let media =
            format!("application/json;g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList");
        if let Ok(media) = HeaderValue::from_str(&media) {
            found.headers_mut().insert(header::CONTENT_TYPE, media);
        }
        found
    }
}

impl Entry {
    fn of(kind: &Kind) -> Self {
        let resource = &kind.resource;
        let mut parts = Vec::new();
        if kind.scale.is_some() {
            parts.push(Self {
                of: Some(("autoscaling", "v1")),
                ..Self::part(kind, "scale", "Scale", &["get", "patch", "update"])
            });
        }
        if kind.has_status {
            parts.push(Self::part(
                kind,
                "status",
                &resource.kind,
                &["get", "patch", "update"],
            ));
        }
        if kind.is("pods") {
            parts.push(Self::part(kind, "binding", "Binding", &["create"]));
        }
        if kind.is("namespaces") {
            parts.push(Self::part(kind, "finalize", "Namespace", &["update"]));
        }
        if kind.is("serviceaccounts") {
            parts.push(Self {
                of: Some(("authentication.k8s.io", "v1")),
                ..Self::part(kind, "token", "TokenRequest", &["create"])
            });
        }
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        let mut verbs = VERBS.to_vec();
        if kind.is("namespaces") {
            verbs.retain(|verb| *verb != "deletecollection");
        }
        Self {
            name: resource.plural.clone(),
            singular: kind.singular.clone(),
            kind: resource.kind.clone(),
            of: None,
            namespaced: resource.namespaced,
            verbs,
            short_names: kind.short_names.clone(),
            categories: kind.categories.clone(),
            parts,
        }
    }

    fn part(kind: &Kind, name: &str, of: &str, verbs: &[&'static str]) -> Self {
        Self {
            name: name.to_owned(),
            singular: String::new(),
            kind: of.to_owned(),
            of: None,
            namespaced: kind.resource.namespaced,
            verbs: verbs.to_vec(),
            short_names: Vec::new(),
            categories: Vec::new(),
            parts: Vec::new(),
        }
    }

    fn review(plural: &str, kind: &str) -> Self {
        Self {
            name: plural.to_owned(),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            of: None,
            namespaced: false,
            verbs: vec!["create"],
            short_names: Vec::new(),
            categories: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// As in an `APIResourceList`: parts stand beside the type.
    fn plain(&self) -> Vec<Value> {
        let shown = |entry: &Self, name: String| {
            let mut value = json!({
                "name": name, "singularName": entry.singular, "namespaced": entry.namespaced,
                "kind": entry.kind, "verbs": entry.verbs,
            });
            if let Some((group, version)) = entry.of {
                value["group"] = json!(group);
                value["version"] = json!(version);
            }
            if !entry.short_names.is_empty() {
                value["shortNames"] = json!(entry.short_names);
            }
            if !entry.categories.is_empty() {
                value["categories"] = json!(entry.categories);
            }
            value
        };
        let parts = self.parts.iter();
        let parts = parts.map(|part| shown(part, format!("{}/{}", self.name, part.name)));
        std::iter::once(shown(self, self.name.clone()))
            .chain(parts)
            .collect()
    }

    /// As in an `APIGroupDiscoveryList`: parts stand inside the type.
    fn aggregated(&self, group: &str, version: &str) -> Value {
        let (group, version) = self.of.unwrap_or((group, version));
        let kind = json!({ "group": group, "version": version, "kind": self.kind });
        let mut value = json!({
            "resource": self.name, "responseKind": kind, "singularResource": self.singular,
            "scope": if self.namespaced { "Namespaced" } else { "Cluster" }, "verbs": self.verbs,
        });
        if !self.short_names.is_empty() {
            value["shortNames"] = json!(self.short_names);
        }
        if !self.categories.is_empty() {
            value["categories"] = json!(self.categories);
        }
        if !self.parts.is_empty() {
            let part = |part: &Self| {
                let (group, version) = part.of.unwrap_or((group, version));
                json!({
                    "subresource": part.name, "verbs": part.verbs,
                    "responseKind": { "group": group, "version": version, "kind": part.kind },
                })
            };
            value["subresources"] = self.parts.iter().map(part).collect();
        }
        value
    }
}

fn group(name: &str, versions: &BTreeMap<String, Vec<Entry>>) -> Value {
    let version = |version: &String| json!({ "groupVersion": format!("{name}/{version}"), "version": version });
    let all: Vec<Value> = versions.keys().rev().map(version).collect();
    json!({ "name": name, "preferredVersion": all.first(), "versions": all })
}

const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const REVIEWS: [(&str, &str, &str); 4] = [
    (
        "authentication.k8s.io",
        "selfsubjectreviews",
        "SelfSubjectReview",
    ),
    ("authentication.k8s.io", "tokenreviews", "TokenReview"),
    (
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
    ),
    (
        "authorization.k8s.io",
        "subjectaccessreviews",
        "SubjectAccessReview",
    ),
];
