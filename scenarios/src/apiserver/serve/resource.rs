//! Requests for collections and objects, and for their status.

use std::{sync::Arc, time::SystemTime};

use discovery::serve::kube::{
    Body, Item, Status, Store,
    accept::Form,
    answer::{json, told},
    column::at,
    encode::Encoder,
    item::key,
    list::Page,
    options, read,
    status::Details,
};
use http::{Method, Response, StatusCode};
use serde_json::{Map, Value};

use super::{Asked, Service};
use crate::apiserver::{
    admit::Part,
    decode::{self, Unknown},
    kind::Kind,
    patch::Patch,
    state::Write,
    write::Deletion,
};

impl Service {
    /// A collection or an object.
    pub(super) async fn plain(
        &self,
        kind: &Arc<Kind>,
        asked: &Asked<'_>,
    ) -> Result<Response<Body>, Status> {
        match (asked.method, &asked.target.name) {
            (&Method::GET, _) => self.get(kind, asked).await,
            (&Method::POST, None) => self.create(kind, asked),
            (&Method::PUT, Some(name)) => self.replace(kind, asked, name, Part::Main),
            (&Method::PATCH, Some(name)) => self.patch(kind, asked, name, Part::Main),
            (&Method::DELETE, Some(name)) => self.delete(kind, asked, name),
            (&Method::DELETE, None) => self.delete_all(kind, asked),
            _ => Err(Status::method_not_allowed()),
        }
    }

    /// The status of an object.
    pub(super) async fn status(
        &self,
        kind: &Arc<Kind>,
        asked: &Asked<'_>,
    ) -> Result<Response<Body>, Status> {
        match (asked.method, &asked.target.name) {
            (&Method::GET, Some(_)) => self.get(kind, asked).await,
            (&Method::PUT, Some(name)) => self.replace(kind, asked, name, Part::Status),
            (&Method::PATCH, Some(name)) => self.patch(kind, asked, name, Part::Status),
            _ => Err(Status::method_not_allowed()),
        }
    }

    /// A scheduler gives a pod its node.
    pub(super) fn bind(&self, kind: &Kind, asked: &Asked<'_>) -> Result<Response<Body>, Status> {
        let (&Method::POST, Some(name)) = (asked.method, &asked.target.name) else {
            return Err(Status::method_not_allowed());
        };
        let sent = decode::value(&asked.body, asked.media)?;
        let node = sent["target"]["name"].as_str().unwrap_or_default();
        let bound = self.state.bind(kind, &asked.key(name), node)?;
        match bound {
            true => Ok(told_created(&Status::success(Details::default()))),
            false => {
                let details = Details {
                    kind: "pods/binding".to_owned(),
                    ..Details::of(&kind.resource, name)
                };
                Err(Status::conflict(
                    details,
                    "pod is already assigned to a node",
                ))
            }
        }
    }

    async fn get(&self, kind: &Kind, asked: &Asked<'_>) -> Result<Response<Body>, Status> {
        let store: Arc<dyn Store> = Arc::clone(&self.state.memory) as Arc<dyn Store>;
        let resource = Arc::clone(&kind.resource);
        read(
            store,
            resource,
            asked.target,
            asked.query,
            asked.accept,
            self.rhythm,
        )
        .await
    }

    fn create(&self, kind: &Kind, asked: &Asked<'_>) -> Result<Response<Body>, Status> {
        let namespace = asked.target.namespace.as_deref();
        if kind.resource.namespaced && namespace.is_none() {
            return Err(Status::method_not_allowed());
        }
        let sent = decode::value(&asked.body, asked.media)?;
        let object = decode::object(kind, sent, asked.unknown())?;
        let made = self.state.create(kind, namespace, object, asked.write())?;
        asked.shown(kind, &made, StatusCode::CREATED)
    }

    fn replace(
        &self,
        kind: &Kind,
        asked: &Asked<'_>,
        name: &str,
        part: Part,
    ) -> Result<Response<Body>, Status> {
        let sent = decode::value(&asked.body, asked.media)?;
        let object = decode::object(kind, sent, asked.unknown())?;
        let said = at(&object, "/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if said != name {
            return Err(Status::bad_request(format!(
                "the name of the object ({said}) does not match the name on the URL ({name})"
            )));
        }
        let make = |_| Ok(object);
        let made = self
            .state
            .change(kind, &asked.key(name), part, asked.write(), make)?;
        asked.shown(kind, &made, StatusCode::OK)
    }

    fn patch(
        &self,
        kind: &Kind,
        asked: &Asked<'_>,
        name: &str,
        part: Part,
    ) -> Result<Response<Body>, Status> {
        let patch = Patch::read(kind, asked.media, &asked.body, asked.query)?;
        let (key, unknown) = (asked.key(name), asked.unknown());
        let found = self.state.memory.get(&kind.resource, &key);
        if let (None, Some(made)) = (found, patch.creation()) {
            let mut made = decode::sound(made?)?;
            made["metadata"]["name"] = name.into();
            let object = decode::object(kind, made, unknown)?;
            let namespace = asked.target.namespace.as_deref();
            let made = self.state.create(kind, namespace, object, asked.write())?;
            return asked.shown(kind, &made, StatusCode::CREATED);
        }
        let make = |before: Map<String, Value>| {
            let version = before["metadata"]["resourceVersion"].clone();
            let mut made = decode::sound(patch.on(before)?)?;
            if made["metadata"]["resourceVersion"].is_null() {
                made["metadata"]["resourceVersion"] = version;
            }
            decode::object(kind, made, unknown)
        };
        let made = self.state.change(kind, &key, part, asked.write(), make)?;
        asked.shown(kind, &made, StatusCode::OK)
    }

    fn delete(&self, kind: &Kind, asked: &Asked<'_>, name: &str) -> Result<Response<Body>, Status> {
        let deleted = self
            .state
            .delete(kind, &asked.key(name), &asked.deletion()?)?;
        if kind.returns_deleted || deleted.waits {
            return asked.shown(kind, &deleted.last, StatusCode::OK);
        }
        let object = deleted.last.object();
        let uid = object["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok(told(&Status::success(Details {
            uid,
            ..Details::of(&kind.resource, name)
        })))
    }

    fn delete_all(&self, kind: &Kind, asked: &Asked<'_>) -> Result<Response<Body>, Status> {
        let resource = &kind.resource;
        let namespace = asked.target.namespace.as_deref();
        let selector = options::selector(asked.query, resource, namespace)?;
        let how = asked.deletion()?;
        let mut items = Vec::new();
        for item in self.state.memory.all(resource) {
            if selector.matches(resource, &item) {
                // Who was deleted meanwhile is deleted.
                let _ = self.state.delete(kind, item.key(), &how);
                items.push(item);
            }
        }
        let page = Page {
            version: self.state.memory.version(),
            items,
            ..Page::default()
        };
        let encoder = Encoder {
            resource,
            form: Form::Whole,
            now: SystemTime::now(),
        };
        Ok(json(StatusCode::OK, encoder.list(&page)))
    }
}

fn told_created(status: &Status) -> Response<Body> {
    json(StatusCode::CREATED, status.text().into())
}

impl Asked<'_> {
    pub(super) fn key(&self, name: &str) -> String {
        key(self.target.namespace.as_deref(), name)
    }

    pub(super) fn write(&self) -> Write {
        match self.query.get("dryRun") {
            Some(_) => Write::Try,
            None => Write::Keep,
        }
    }

    fn unknown(&self) -> Unknown {
        match self.query.get("fieldValidation") {
            Some("Strict") => Unknown::Refuse,
            _ => Unknown::Drop,
        }
    }

    /// How an object shall go: what the body says, else the query.
    fn deletion(&self) -> Result<Deletion, Status> {
        let sent = match self.body.is_empty() {
            true => Value::Null,
            false => decode::value(&self.body, self.media)?,
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let grace = self
            .query
            .get("gracePeriodSeconds")
            .and_then(|text| text.parse().ok());
        let policy = text(&sent["propagationPolicy"]);
        let policy = policy.or_else(|| self.query.get("propagationPolicy").map(str::to_owned));
        Ok(Deletion {
            grace: sent["gracePeriodSeconds"].as_i64().or(grace),
            uid: text(&sent["preconditions"]["uid"]),
            version: text(&sent["preconditions"]["resourceVersion"]),
            orphan: policy.as_deref() == Some("Orphan") || sent["orphanDependents"] == true,
            tried: self.write() == Write::Try || sent["dryRun"].is_array(),
        })
    }

    /// An object in the form that is wanted.
    fn shown(&self, kind: &Kind, item: &Item, code: StatusCode) -> Result<Response<Body>, Status> {
        let encoder = Encoder {
            resource: &kind.resource,
            form: self.accept.form(self.query)?,
            now: SystemTime::now(),
        };
        Ok(json(code, encoder.object(item)))
    }
}
