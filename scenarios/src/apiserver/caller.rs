//! Who asks, and what they may.

use discovery::serve::kube::{Item, Status, status::Details};
use serde_json::{Map, Value};

use super::{
    state::State,
    token::{Claims, ISSUER, Named},
};

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) groups: Vec<String>,
    /// The token's own name, of a service account.
    pub(super) token: Option<String>,
}

/// What somebody wants to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) verb: String,
    pub(super) group: String,
    /// `pods` or `pods/status`.
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
}

impl Caller {
    /// Nobody that we know.
    pub(super) fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            uid: String::new(),
            groups: vec!["system:unauthenticated".to_owned()],
            token: None,
        }
    }

    /// Who may do everything.
    pub(super) fn admin() -> Self {
        Self {
            name: "admin".to_owned(),
            uid: "admin".to_owned(),
            groups: vec!["system:masters".to_owned(), AUTHENTICATED.to_owned()],
            token: None,
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.groups.iter().any(|group| group == AUTHENTICATED)
    }

    fn account(claims: &Claims) -> Self {
        let namespace = &claims.about.namespace;
        Self {
            name: claims.subject.clone(),
            uid: claims.about.account.uid.clone(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED.to_owned(),
            ],
            token: Some(claims.id.clone()),
        }
    }
}

impl State {
    /// Who a token is, as one for this server.
    ///
    /// # Errors
    /// 401 when it is nobody.
    pub(super) fn caller(&self, token: Option<&str>, admin: &str) -> Result<Caller, Status> {
        match token {
            None => Ok(Caller::anonymous()),
            Some(token) if token == admin => Ok(Caller::admin()),
            Some(token) => match self.bearer(token) {
                Some((caller, claims)) if claims.audiences.iter().any(|a| a == ISSUER) => {
                    Ok(caller)
                }
                _ => Err(Status::unauthorized()),
            },
        }
    }

    /// Whose token it is, while all that it is bound to is there.
    pub(super) fn bearer(&self, token: &str) -> Option<(Caller, Claims)> {
        let claims = self.tokens.read(token)?;
        let about = &claims.about;
        let is = |plural: &str, named: &Named| {
            let found = self.core(plural, &about.namespace, &named.name);
            found.is_some_and(|item| item.object()["metadata"]["uid"] == named.uid)
        };
        let bound = is("serviceaccounts", &about.account)
            && about
                .secret
                .as_ref()
                .is_none_or(|secret| is("secrets", secret))
            && about.pod.as_ref().is_none_or(|pod| is("pods", pod));
        bound.then(|| (Caller::account(&claims), claims))
    }

    /// Fails when `caller` may not do what they wish.
    ///
    /// # Errors
    /// 403, in the words of Kubernetes.
    pub(super) fn permit(&self, caller: &Caller, wish: &Wish) -> Result<(), Status> {
        if self.allows(caller, wish) {
            return Ok(());
        }
        let plural = wish.resource.split('/').next().unwrap_or_default();
        let qualified = match wish.group.as_str() {
            "" => plural.to_owned(),
            group => format!("{plural}.{group}"),
        };
        let name = wish
            .name
            .as_ref()
            .map_or(String::new(), |name| format!(" \"{name}\""));
        let scope = match &wish.namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let message = format!(
            "{qualified}{name} is forbidden: User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {scope}",
            caller.name, wish.verb, wish.resource, wish.group
        );
        Err(Status::failure(403, "Forbidden", message).with(Details {
            name: wish.name.clone().unwrap_or_default(),
            group: wish.group.clone(),
            kind: plural.to_owned(),
            ..Details::default()
        }))
    }

    /// Whether the roles that are bound to `caller` allow it.
    pub(super) fn allows(&self, caller: &Caller, wish: &Wish) -> bool {
        if caller.groups.iter().any(|group| group == "system:masters") {
            return true;
        }
        let bound = |plural: &str, namespace: Option<&str>| {
            let all = self
                .memory
                .all(&self.registry.builtin(RBAC, plural).resource);
            let here = all
                .into_iter()
                .filter(|item| namespace.is_none_or(|namespace| namespace == item.namespace()));
            here.collect::<Vec<_>>()
        };
        let everywhere = bound("clusterrolebindings", None);
        let here = wish
            .namespace
            .as_deref()
            .map(|namespace| bound("rolebindings", Some(namespace)));
        let mut bindings = everywhere.iter().chain(here.iter().flatten());
        bindings.any(|binding| self.grants(binding, caller, wish))
    }

    fn grants(&self, binding: &Item, caller: &Caller, wish: &Wish) -> bool {
        let object = binding.object();
        let mut subjects = object
            .get("subjects")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        if !subjects.any(|subject| is_subject(subject, caller)) {
            return false;
        }
        let role = &object["roleRef"];
        let name = role["name"].as_str().unwrap_or_default();
        let (plural, key) = match role["kind"].as_str() {
            Some("ClusterRole") => ("clusterroles", name.to_owned()),
            _ => ("roles", format!("{}/{name}", binding.namespace())),
        };
        let kind = self.registry.builtin(RBAC, plural);
        let role = discovery::serve::kube::Store::get(&*self.memory, &kind.resource, &key);
        role.is_some_and(|role| {
            let role: Map<String, Value> = role.object();
            let mut rules = role
                .get("rules")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            rules.any(|rule| covers(rule, wish))
        })
    }
}

fn is_subject(subject: &Value, caller: &Caller) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("ServiceAccount") => {
            let namespace = subject["namespace"].as_str().unwrap_or_default();
            caller.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        Some("Group") => caller.groups.iter().any(|group| group == name),
        _ => caller.name == name,
    }
}

fn covers(rule: &Value, wish: &Wish) -> bool {
    let lists = |field: &str, wanted: &str| {
        let mut all = rule[field]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        all.any(|one| one == "*" || one == wanted)
    };
    let names = rule["resourceNames"]
        .as_array()
        .filter(|names| !names.is_empty());
    let named = names.is_none_or(|names| {
        let wanted = wish.name.as_deref().unwrap_or_default();
        names.iter().any(|name| name.as_str() == Some(wanted))
    });
    let part = wish
        .resource
        .split_once('/')
        .map(|(_, part)| format!("*/{part}"));
    let resource =
        lists("resources", &wish.resource) || part.is_some_and(|part| lists("resources", &part));
    lists("verbs", &wish.verb) && lists("apiGroups", &wish.group) && resource && named
}

const AUTHENTICATED: &str = "system:authenticated";
const RBAC: &str = "rbac.authorization.k8s.io";
