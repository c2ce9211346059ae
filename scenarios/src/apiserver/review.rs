//! Reviews: who a token is, who may do what. Nothing of them is kept.

use discovery::serve::kube::{Status, status::Cause};
use serde_json::{Map, Value, json};

use super::{
    admit::now,
    caller::{Caller, Wish},
    state::State,
    token::{About, ISSUER, Named},
};

impl State {
    /// `POST serviceaccounts/NAME/token`.
    ///
    /// # Errors
    /// When there is no such account, or nothing of that name to bind the token to.
    pub(super) fn request_token(
        &self,
        namespace: &str,
        name: &str,
        mut request: Value,
    ) -> Result<Value, Status> {
        let accounts = self.registry.core("serviceaccounts");
        let found = self.core("serviceaccounts", namespace, name);
        let account = found
            .ok_or_else(|| Status::not_found(&accounts.resource, name))?
            .object();
        let spec = &request["spec"];
        let seconds = spec["expirationSeconds"].as_i64().unwrap_or(3600);
        if seconds < 600 {
            let why = "may not specify a duration less than 10 minutes";
            let cause = Cause::invalid("spec.expirationSeconds", &seconds.to_string(), why);
            return Err(Status::invalid(GROUP, "TokenRequest", "", vec![cause]));
        }
        let about = self.about(namespace, (name, &account), &spec["boundObjectRef"])?;
        let audiences = audiences(spec);
        let audiences = if audiences.is_empty() {
            vec![ISSUER.to_owned()]
        } else {
            audiences
        };
        let lifetime = u64::try_from(seconds).unwrap_or_default();
        let issued = self.tokens.issue(about, audiences.clone(), lifetime);
        let (token, claims) =
            issued.map_err(|error| Status::failure(500, "InternalError", error.to_string()))?;
        let ends = std::time::UNIX_EPOCH + std::time::Duration::from_secs(claims.ends);
        request["kind"] = json!("TokenRequest");
        request["apiVersion"] = json!(API_VERSION);
        request["metadata"] = json!({
            "name": name, "namespace": namespace, "uid": uid(&account), "creationTimestamp": now(),
        });
        let bound = request["spec"]["boundObjectRef"].clone();
        request["spec"] = json!({
            "audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound,
        });
        request["status"] = json!({
            "token": token,
            "expirationTimestamp": humantime::format_rfc3339_seconds(ends).to_string(),
        });
        Ok(request)
    }

    /// Whose token it will be, and what it ends with.
    fn about(
        &self,
        namespace: &str,
        (name, account): (&str, &Map<String, Value>),
        bound: &Value,
    ) -> Result<About, Status> {
        let mut about = About {
            namespace: namespace.to_owned(),
            account: Named {
                name: name.to_owned(),
                uid: uid(account),
            },
            ..About::default()
        };
        let Some(name) = bound["name"].as_str() else {
            return Ok(about);
        };
        let plural = if bound["kind"] == "Pod" {
            "pods"
        } else {
            "secrets"
        };
        let found = self.core(plural, namespace, name);
        let kind = self.registry.core(plural);
        let found = found.ok_or_else(|| Status::not_found(&kind.resource, name))?;
        let named = Some(Named {
            name: name.to_owned(),
            uid: uid(&found.object()),
        });
        match plural {
            "pods" => about.pod = named,
            _ => about.secret = named,
        }
        Ok(about)
    }

    /// Answers a review; `None` when there is none of that name.
    pub(super) fn review(
        &self,
        group: &str,
        plural: &str,
        caller: &Caller,
        admin: &str,
        sent: Value,
    ) -> Option<Value> {
        let (kind, status) = match (group, plural) {
            (GROUP, "tokenreviews") => ("TokenReview", self.review_token(&sent["spec"], admin)),
            (GROUP, "selfsubjectreviews") => {
                ("SelfSubjectReview", json!({ "userInfo": user(caller) }))
            }
            (AUTHORIZATION, "selfsubjectaccessreviews") => {
                let allowed = self.allows(caller, &wish(&sent["spec"]));
                ("SelfSubjectAccessReview", json!({ "allowed": allowed }))
            }
            (AUTHORIZATION, "subjectaccessreviews") => {
                let subject = subject(&sent["spec"]);
                let allowed = self.allows(&subject, &wish(&sent["spec"]));
                ("SubjectAccessReview", json!({ "allowed": allowed }))
            }
            _ => return None,
        };
        let spec = sent.get("spec").cloned().unwrap_or_else(|| json!({}));
        Some(json!({
            "kind": kind,
            "apiVersion": format!("{group}/v1"),
            "metadata": {},
            "spec": spec,
            "status": status,
        }))
    }

    fn review_token(&self, spec: &Value, admin: &str) -> Value {
        let token = spec["token"].as_str().unwrap_or_default();
        let wanted = audiences(spec);
        let nobody = |error: String| json!({ "user": {}, "error": error });
        if token == admin && wanted.is_empty() {
            return json!({ "authenticated": true, "user": user(&Caller::admin()) });
        }
        let Some((caller, claims)) = self.bearer(token) else {
            return nobody("invalid bearer token".to_owned());
        };
        let wanted = if wanted.is_empty() {
            vec![ISSUER.to_owned()]
        } else {
            wanted
        };
        let common: Vec<_> = wanted
            .iter()
            .filter(|a| claims.audiences.contains(a))
            .collect();
        if common.is_empty() {
            return nobody(format!(
                "[invalid bearer token, token audiences {:?} is invalid for the target audiences {wanted:?}]",
                claims.audiences
            ));
        }
        json!({ "authenticated": true, "user": user(&caller), "audiences": common })
    }
}

fn uid(object: &Map<String, Value>) -> String {
    let uid = object["metadata"]["uid"].as_str();
    uid.unwrap_or_default().to_owned()
}

/// Whether somebody may ask for this review without any right.
pub(super) fn is_free(group: &str, plural: &str) -> bool {
    plural.starts_with("selfsubject") && matches!(group, GROUP | AUTHORIZATION)
}

fn user(caller: &Caller) -> Value {
    let mut user = json!({ "username": caller.name, "uid": caller.uid, "groups": caller.groups });
    if let Some(token) = &caller.token {
        let id = format!("JTI={token}");
        user["extra"] = json!({ "authentication.kubernetes.io/credential-id": [id] });
    }
    user
}

fn audiences(spec: &Value) -> Vec<String> {
    let all = spec["audiences"].as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned))
        .collect()
}

fn wish(spec: &Value) -> Wish {
    let asked = &spec["resourceAttributes"];
    let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
    let some = |name: &str| Some(text(name)).filter(|text| !text.is_empty());
    let resource = match some("subresource") {
        Some(part) => format!("{}/{part}", text("resource")),
        None => text("resource"),
    };
    Wish {
        verb: text("verb"),
        group: text("group"),
        resource,
        namespace: some("namespace"),
        name: some("name"),
    }
}

fn subject(spec: &Value) -> Caller {
    let text = |name: &str| spec[name].as_str().unwrap_or_default().to_owned();
    let groups = spec["groups"].as_array().into_iter().flatten();
    Caller {
        name: text("user"),
        uid: text("uid"),
        groups: groups
            .filter_map(|group| group.as_str().map(str::to_owned))
            .collect(),
        token: None,
    }
}

const GROUP: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const API_VERSION: &str = "authentication.k8s.io/v1";
