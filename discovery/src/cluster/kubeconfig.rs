//! Kubeconfig → target, refusing what a foreign one must not make us do.
//!
//! A remote secret is written by whoever may write Secrets in the system namespace, and its
//! kubeconfig comes from another cluster. It may not run programs, read files of our
//! container, ask other hosts for credentials, or send a token to a host that nobody
//! authenticated (Istio's `pkg/kube/util.go:sanitizeKubeConfig`; the last two, a CA *path*
//! and `proxy-url` are refused by us only). Every user and cluster entry is looked at, not
//! only the current ones. Pure: files are read by `own`, for the own kubeconfig alone.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use secrecy::{ExposeSecret, SecretString};

use super::{Authorization, Identity, Roots, Target};

/// What is wrong with a kubeconfig: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The field, such as `users[c2].exec`; never its content.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// The next step.
    pub remedy: &'static str,
}

impl Flaw {
    pub(crate) fn new(field: impl Into<String>, reason: &str, remedy: &'static str) -> Self {
        Self {
            field: field.into(),
            reason: reason.to_owned(),
            remedy,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.field, self.reason, self.remedy)
    }
}

/// The target that a foreign kubeconfig names.
///
/// # Errors
/// The first [`Flaw`] found.
pub(crate) fn read_foreign(bytes: &[u8]) -> Result<Target, Flaw> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Flaw::new("kubeconfig", "is empty", RECREATE));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Flaw::new("kubeconfig", "is not UTF-8", RECREATE))?;
    // The parser's own message may quote the token.
    let kubeconfig = Kubeconfig::from_yaml(text)
        .map_err(|_| Flaw::new("kubeconfig", "is not a kubeconfig in YAML", RECREATE))?;
    sanitise(&kubeconfig)?;
    target(&kubeconfig)
}

/// Refuses every entry that would make us do more than send a request.
fn sanitise(kubeconfig: &Kubeconfig) -> Result<(), Flaw> {
    for named in &kubeconfig.auth_infos {
        if let Some(user) = &named.auth_info {
            sanitise_user(&named.name, user)?;
        }
    }
    for named in &kubeconfig.clusters {
        if let Some(cluster) = &named.cluster {
            sanitise_cluster(&named.name, cluster)?;
        }
    }
    Ok(())
}

fn sanitise_user(name: &str, user: &AuthInfo) -> Result<(), Flaw> {
    let refuse = |field: &str, reason: &str| {
        Err(Flaw::new(
            format!("users[{name}].{field}"),
            reason,
            USE_TOKEN,
        ))
    };
    if let Some(provider) = &user.auth_provider {
        let reason = format!("the auth provider `{}` is not supported", provider.name);
        return refuse("auth-provider", &reason);
    }
    let set = [
        ("exec", user.exec.is_some(), RUNS),
        ("tokenFile", user.token_file.is_some(), READS),
        (
            "client-certificate",
            user.client_certificate.is_some(),
            READS,
        ),
        ("client-key", user.client_key.is_some(), READS),
        ("username", user.username.is_some(), PASSWORD),
        ("password", user.password.is_some(), PASSWORD),
        ("as", user.impersonate.is_some(), IMPERSONATES),
        ("as-uid", user.impersonate_uid.is_some(), IMPERSONATES),
        ("as-groups", user.impersonate_groups.is_some(), IMPERSONATES),
        (
            "as-user-extra",
            user.impersonate_user_extra.is_some(),
            IMPERSONATES,
        ),
    ];
    match set.into_iter().find(|(_, present, _)| *present) {
        Some((field, _, reason)) => refuse(field, reason),
        None => Ok(()),
    }
}

fn sanitise_cluster(name: &str, cluster: &Cluster) -> Result<(), Flaw> {
    let refuse = |field: &str, reason: &str, remedy: &'static str| {
        Err(Flaw::new(
            format!("clusters[{name}].{field}"),
            reason,
            remedy,
        ))
    };
    if cluster.certificate_authority.is_some() {
        return refuse("certificate-authority", READS, INLINE_CA);
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        let reason = "would send the token to whoever answers";
        return refuse("insecure-skip-tls-verify", reason, INLINE_CA);
    }
    if cluster
        .proxy_url
        .as_ref()
        .is_some_and(|url| !url.is_empty())
    {
        let reason = "would send requests through a host of the secret's choice";
        return refuse(
            "proxy-url",
            reason,
            "give a server address that is reached directly",
        );
    }
    Ok(())
}

/// The target that the current context names. What names a file is passed over here: a
/// foreign kubeconfig has none left, and of the own one `own` has read them.
pub(crate) fn target(kubeconfig: &Kubeconfig) -> Result<Target, Flaw> {
    let current = kubeconfig
        .current_context
        .as_deref()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Flaw::new("current-context", "is not set", RECREATE))?;
    let context = kubeconfig
        .contexts
        .iter()
        .find(|named| named.name == current)
        .and_then(|named| named.context.as_ref())
        .ok_or_else(|| Flaw::new(format!("contexts[{current}]"), "does not exist", RECREATE))?;
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|named| named.name == context.cluster)
        .and_then(|named| named.cluster.as_ref())
        .ok_or_else(|| absent(current, "cluster"))?;
    let user = kubeconfig
        .auth_infos
        .iter()
        .find(|named| Some(&named.name) == context.user.as_ref())
        .and_then(|named| named.auth_info.as_ref())
        .ok_or_else(|| absent(current, "user"))?;
    let user_name = context.user.as_deref().unwrap_or_default();
    let identity = identity(user_name, user)?;
    Ok(Target {
        server: server(&context.cluster, cluster)?,
        server_name: server_name(&context.cluster, cluster)?,
        roots: roots(&context.cluster, cluster)?,
        authorization: authorization(user_name, user, identity.is_some())?,
        identity,
    })
}

fn absent(context: &str, part: &str) -> Flaw {
    Flaw::new(
        format!("contexts[{context}].{part}"),
        "names nothing that exists",
        RECREATE,
    )
}

fn server(name: &str, cluster: &Cluster) -> Result<http::Uri, Flaw> {
    let flaw = |reason| Flaw::new(format!("clusters[{name}].server"), reason, SERVER);
    let text = cluster.server.as_deref().unwrap_or_default();
    let uri: http::Uri = text.parse().map_err(|_| flaw("is not a URL"))?;
    let authority = uri.authority().ok_or_else(|| flaw("is not a URL"))?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(flaw("holds more than a host, a port and a path"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback(authority.host()) => Ok(uri),
        Some("http") => Err(flaw("would send the token in the clear")),
        _ => Err(flaw("is not a URL")),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_loopback())
}

fn server_name(name: &str, cluster: &Cluster) -> Result<Option<String>, Flaw> {
    let Some(text) = cluster.tls_server_name.clone().filter(|n| !n.is_empty()) else {
        return Ok(None);
    };
    match rustls::pki_types::ServerName::try_from(text.as_str()) {
        Ok(_) => Ok(Some(text)),
        Err(_) => Err(Flaw::new(
            format!("clusters[{name}].tls-server-name"),
            "is neither a DNS name nor an address",
            "write the name in the API server's certificate",
        )),
    }
}

fn roots(name: &str, cluster: &Cluster) -> Result<Roots, Flaw> {
    let field = format!("clusters[{name}].certificate-authority-data");
    match cluster.certificate_authority_data.as_deref() {
        None | Some("") => Ok(Roots::System),
        Some(data) => {
            let pem = decode(&field, data, INLINE_CA)?;
            Roots::from_pem(&pem)
                .ok_or_else(|| Flaw::new(field, "holds no certificate in PEM", INLINE_CA))
        }
    }
}

fn identity(name: &str, user: &AuthInfo) -> Result<Option<Identity>, Flaw> {
    let certificate = user
        .client_certificate_data
        .as_deref()
        .filter(|d| !d.is_empty());
    let key = user
        .client_key_data
        .as_ref()
        .map(ExposeSecret::expose_secret);
    let field = |part: &str| format!("users[{name}].{part}");
    match (certificate, key.filter(|d| !d.is_empty())) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(Flaw::new(field("client-key-data"), "is missing", PAIR)),
        (None, Some(_)) => Err(Flaw::new(
            field("client-certificate-data"),
            "is missing",
            PAIR,
        )),
        (Some(certificate), Some(key)) => {
            let chain = decode(&field("client-certificate-data"), certificate, PAIR)?;
            let key = decode(&field("client-key-data"), key, PAIR)?;
            Identity::from_pem(&chain, &key)
                .map(Some)
                .ok_or_else(|| Flaw::new(field("client-certificate-data"), "is no PEM pair", PAIR))
        }
    }
}

fn authorization(name: &str, user: &AuthInfo, has_identity: bool) -> Result<Authorization, Flaw> {
    let token = user.token.as_ref().map(|t| t.expose_secret().trim());
    match token.filter(|t| !t.is_empty()) {
        Some(token) => {
            Authorization::bearer(&SecretString::from(token.to_owned())).ok_or_else(|| {
                let reason = "holds characters that no token has";
                Flaw::new(format!("users[{name}].token"), reason, USE_TOKEN)
            })
        }
        None if has_identity => Ok(Authorization::none()),
        None => Err(Flaw::new(
            format!("users[{name}]"),
            "has no credential",
            USE_TOKEN,
        )),
    }
}

fn decode(field: &str, data: &str, remedy: &'static str) -> Result<Vec<u8>, Flaw> {
    BASE64_STANDARD
        .decode(data.split_ascii_whitespace().collect::<String>())
        .map_err(|_| Flaw::new(field, "is not base64", remedy))
}

const RUNS: &str = "would run a program in our container";
const READS: &str = "would read a file of our container";
const PASSWORD: &str = "is not supported: API servers take no passwords";
const IMPERSONATES: &str = "is not supported: discovery speaks for nobody else";
const USE_TOKEN: &str =
    "give the reader account's `token` inline, as `istioctl create-remote-secret` does";
const INLINE_CA: &str = "put the API server's CA into `certificate-authority-data`";
const PAIR: &str = "give both client-certificate-data and client-key-data, or a token";
const SERVER: &str = "write https://host:port (http only to a loopback address)";
const RECREATE: &str = "make the secret again with `istioctl create-remote-secret`";

#[cfg(test)]
mod tests;
