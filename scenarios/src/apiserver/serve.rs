//! What a request is answered.

mod resource;
mod scale;

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use discovery::serve::kube::{
    Accept, Body, Call, Query, Rhythm, Status, Target,
    answer::{json, told, whole},
};
use http::{Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;

use super::{
    caller::{Caller, Wish},
    decode, documents,
    fault::Faults,
    openapi, review,
    state::State,
};

/// Answers requests.
#[derive(Debug)]
pub(super) struct Service {
    state: Arc<State>,
    faults: Faults,
    /// The token that may do everything.
    admin: String,
    rhythm: Rhythm,
}

/// A request that was read.
#[derive(Debug)]
struct Asked<'a> {
    method: &'a Method,
    target: &'a Target,
    query: &'a Query,
    accept: &'a Accept,
    caller: &'a Caller,
    media: &'a str,
    body: Bytes,
}

impl Service {
    pub(super) fn new(state: Arc<State>, admin: String, rhythm: Rhythm) -> Self {
        Self {
            state,
            faults: Faults::none(),
            admin,
            rhythm,
        }
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Answers one request.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let delay = self.faults.delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if let Some(refusal) = self.faults.refusal() {
            return Ok(told(&refusal));
        }
        let (parts, body) = request.into_parts();
        let answered = self.route(parts, body).await;
        Ok(answered.unwrap_or_else(|refused| told(&refused)))
    }

    async fn route(&self, parts: Parts, body: Incoming) -> Result<Response<Body>, Status> {
        let path = parts.uri.path();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let text = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let accept = Accept::parse(text(header::ACCEPT));
        let token =
            text(header::AUTHORIZATION).map(|value| value.trim_start_matches("Bearer ").trim());
        let caller = self.state.caller(token, &self.admin)?;
        let call = Call::parse(path);
        let Call::Resource(target) = &call else {
            return self.document(&call, path, &accept, &caller);
        };
        if !self
            .state
            .registry
            .has_version(&target.group, &target.version)
            && !documents::is_review_group(&target.group, &target.version)
        {
            return Ok(nothing());
        }
        let body = match parts.method {
            Method::GET => Bytes::new(),
            _ => read(body).await?,
        };
        let media = text(header::CONTENT_TYPE).unwrap_or("application/json");
        self.resource(&Asked {
            method: &parts.method,
            target,
            query: &query,
            accept: &accept,
            caller: &caller,
            media,
            body,
        })
        .await
    }

    /// Documents about the server itself.
    fn document(
        &self,
        call: &Call,
        path: &str,
        accept: &Accept,
        caller: &Caller,
    ) -> Result<Response<Body>, Status> {
        if let Some(text) = documents::open(path) {
            return Ok(text);
        }
        if !caller.is_known() {
            let message = format!(
                "forbidden: User \"{}\" cannot get path \"{path}\"",
                caller.name
            );
            return Err(Status::failure(403, "Forbidden", message));
        }
        let found = match call {
            Call::Other => openapi::document(&self.state.registry, path),
            call => documents::of(&self.state.registry, call, accept),
        };
        Ok(found.unwrap_or_else(nothing))
    }

    async fn resource(&self, asked: &Asked<'_>) -> Result<Response<Body>, Status> {
        let target = asked.target;
        let wish = wish(asked);
        if !review::is_free(&target.group, &target.resource) {
            self.state.permit(asked.caller, &wish)?;
        }
        if documents::is_review_group(&target.group, &target.version) {
            return self.review(asked);
        }
        let kind = self
            .state
            .registry
            .find(&target.group, &target.version, &target.resource);
        let kind = kind.ok_or_else(Status::no_such_resource)?;
        match target.subresource.as_deref() {
            None => self.plain(&kind, asked).await,
            Some("status") if kind.has_status => self.status(&kind, asked).await,
            Some("scale") => self.scale(&kind, asked),
            Some("token") if kind.is("serviceaccounts") => self.token(asked),
            Some("binding") if kind.is("pods") => self.bind(&kind, asked),
            Some("finalize") if kind.is("namespaces") => self.plain(&kind, asked).await,
            Some(_) => Err(Status::no_such_resource()),
        }
    }

    fn review(&self, asked: &Asked<'_>) -> Result<Response<Body>, Status> {
        if asked.method != Method::POST {
            return Err(Status::method_not_allowed());
        }
        let sent = decode::value(&asked.body, asked.media)?;
        let target = asked.target;
        let (group, plural) = (&target.group, &target.resource);
        let made = self
            .state
            .review(group, plural, asked.caller, &self.admin, sent);
        made.map(|made| created(&made))
            .ok_or_else(Status::no_such_resource)
    }

    fn token(&self, asked: &Asked<'_>) -> Result<Response<Body>, Status> {
        let (Some(namespace), Some(name)) = (&asked.target.namespace, &asked.target.name) else {
            return Err(Status::no_such_resource());
        };
        if asked.method != Method::POST {
            return Err(Status::method_not_allowed());
        }
        let sent = decode::value(&asked.body, asked.media)?;
        let made = self.state.request_token(namespace, name, sent)?;
        Ok(created(&made))
    }
}

/// What a request wants, as roles name it.
fn wish(asked: &Asked<'_>) -> Wish {
    let target = asked.target;
    let one = target.name.is_some();
    let watches = target.watch || asked.query.flag("watch");
    let verb = match *asked.method {
        Method::GET if watches && !one => "watch",
        Method::GET if one => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if one => "delete",
        _ => "deletecollection",
    };
    let resource = match &target.subresource {
        Some(part) => format!("{}/{part}", target.resource),
        None => target.resource.clone(),
    };
    Wish {
        verb: verb.to_owned(),
        group: target.group.clone(),
        resource,
        namespace: target.namespace.clone(),
        name: target.name.clone(),
    }
}

async fn read(body: Incoming) -> Result<Bytes, Status> {
    let read = Limited::new(body, LARGEST_BODY).collect().await;
    let read =
        read.map_err(|error| Status::failure(413, "RequestEntityTooLarge", error.to_string()))?;
    Ok(read.to_bytes())
}

fn created(value: &Value) -> Response<Body> {
    json(StatusCode::CREATED, value.to_string().into())
}

/// No such path.
fn nothing() -> Response<Body> {
    whole(
        StatusCode::NOT_FOUND,
        "text/plain; charset=utf-8",
        Bytes::from_static(b"404 page not found\n"),
    )
}

/// As kube-apiserver.
const LARGEST_BODY: usize = 3 * 1024 * 1024;
