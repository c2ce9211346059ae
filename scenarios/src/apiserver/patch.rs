//! Patches: what they make of an object.

mod apply;
mod json;
mod lists;
mod merge;
mod ownership;
mod strategic;

use discovery::serve::kube::{
    Query, Status,
    status::{Cause, Details},
};
use serde_json::{Map, Value};

use super::{decode, kind::Kind};
pub(super) use apply::Application;

/// A patch of one of the forms that Kubernetes takes.
#[derive(Debug, Clone)]
pub(super) enum Patch {
    /// RFC 7386.
    Merge(Value),
    /// Lists of Kubernetes' own types are merged by key.
    Strategic(Value),
    /// RFC 6902.
    Json(Vec<json::Step>),
    /// What one manager wants of the object.
    Apply(Application),
}

impl Patch {
    /// Reads a patch.
    ///
    /// # Errors
    /// When it is not of the form that `media` says, or that is none for this type.
    pub(super) fn read(
        kind: &Kind,
        media: &str,
        body: &[u8],
        query: &Query,
    ) -> Result<Self, Status> {
        let media = media.split(';').next().unwrap_or_default().trim();
        match media {
            "application/merge-patch+json" => Ok(Self::Merge(decode::value(body, media)?)),
            "application/strategic-merge-patch+json" if !kind.is_custom() => {
                Ok(Self::Strategic(decode::value(body, media)?))
            }
            "application/json-patch+json" => {
                let steps = serde_json::from_slice(body);
                steps
                    .map(Self::Json)
                    .map_err(|error| Status::bad_request(error.to_string()))
            }
            "application/apply-patch+yaml" => {
                let Some(manager) = query.get("fieldManager") else {
                    let cause = Cause::required("fieldManager", "is required for apply patch");
                    return Err(Status::invalid(
                        "meta.k8s.io",
                        "PatchOptions",
                        "",
                        vec![cause],
                    ));
                };
                Ok(Self::Apply(Application {
                    config: decode::value(body, media)?,
                    manager: manager.to_owned(),
                    force: query.flag("force"),
                }))
            }
            _ => Err(
                Status::failure(415, "UnsupportedMediaType", "415: Unsupported Media Type")
                    .with(Details::default()),
            ),
        }
    }

    /// What it makes of an object.
    ///
    /// # Errors
    /// When it does not fit, or contradicts another manager.
    pub(super) fn on(&self, object: Map<String, Value>) -> Result<Value, Status> {
        let object = Value::Object(object);
        Ok(match self {
            Self::Merge(patch) => merge::merged(object, patch),
            Self::Strategic(patch) => strategic::merged(object, patch),
            Self::Json(steps) => json::patched(object, steps)?,
            Self::Apply(application) => application.on(object)?,
        })
    }

    /// What a patch that applies makes of nothing; the others need an object.
    pub(super) fn creation(&self) -> Option<Result<Value, Status>> {
        match self {
            Self::Apply(application) => Some(application.on(Value::Object(Map::new()))),
            _ => None,
        }
    }
}
