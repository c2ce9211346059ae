//! Who somebody is: SPIFFE ids and trust domains.
//!
//! The grammar is the SPIFFE-ID specification's (sections 2.1 to 2.3); the workload form
//! `spiffe://<trust domain>/ns/<namespace>/sa/<service account>` is Istio's
//! (`pkg/spiffe/spiffe.go`). This module never asks whether an identity is true: that is
//! for whoever verified the certificate that carries it.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The name of a root of trust, such as `cluster.local`: lower-case letters, digits,
/// dots, dashes and underscores, 255 bytes at most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(Arc<str>);

/// A SPIFFE id: a trust domain and a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    /// Empty, or `/` and segments.
    path: Arc<str>,
}

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Another scheme, or none.
    #[error(
        "`{0}` does not begin with spiffe://; write spiffe://<trust domain>/ns/<namespace>/sa/<service account>"
    )]
    Scheme(String),
    /// An empty trust domain, or one with a character that is not allowed.
    #[error(
        "`{0}` is no trust domain: lower-case letters, digits, '.', '-' and '_', 1 to 255 bytes"
    )]
    TrustDomain(String),
    /// A path with an empty or relative segment, or a character that is not allowed.
    #[error(
        "`{0}` is no SPIFFE path: segments of letters, digits, '.', '-' and '_', none of them empty, '.' or '..'"
    )]
    Path(String),
    /// More than 2048 bytes (SPIFFE-ID section 2.3).
    #[error("an identity of {0} bytes is longer than the 2048 that SPIFFE allows")]
    TooLong(usize),
}

impl TrustDomain {
    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SpiffeId {
    /// The identity of a Kubernetes service account.
    ///
    /// # Errors
    /// [`Malformed::Path`] when namespace or account is no path segment.
    pub fn workload(
        trust_domain: &TrustDomain,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, Malformed> {
        let path = format!("/ns/{namespace}/sa/{service_account}");
        let plain = |part: &str| !part.contains('/');
        if !is_path(&path) || !plain(namespace) || !plain(service_account) {
            return Err(Malformed::Path(path));
        }
        Ok(Self {
            trust_domain: trust_domain.clone(),
            path: path.into(),
        })
    }

    /// The trust domain that vouches for it.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The namespace, where the path has Istio's workload form.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.workload_parts().map(|(namespace, _)| namespace)
    }

    /// The service account, where the path has Istio's workload form.
    #[must_use]
    pub fn service_account(&self) -> Option<&str> {
        self.workload_parts().map(|(_, account)| account)
    }

    fn workload_parts(&self) -> Option<(&str, &str)> {
        let (namespace, account) = self.path.strip_prefix("/ns/")?.split_once("/sa/")?;
        (!namespace.contains('/') && !account.contains('/')).then_some((namespace, account))
    }
}

impl FromStr for TrustDomain {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > 255 || !text.bytes().all(allowed) {
            return Err(Malformed::TrustDomain(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for SpiffeId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_LEN {
            return Err(Malformed::TooLong(text.len()));
        }
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| Malformed::Scheme(text.to_owned()))?;
        let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !path.is_empty() && !is_path(path) {
            return Err(Malformed::Path(path.to_owned()));
        }
        Ok(Self {
            trust_domain: domain.parse()?,
            path: path.into(),
        })
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0.as_ref().to_owned()
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.trust_domain, self.path)
    }
}

/// Whether every segment of `/a/b/c` is one that SPIFFE allows.
fn is_path(path: &str) -> bool {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    let segment = |s: &str| !matches!(s, "" | "." | "..") && s.bytes().all(allowed);
    path.strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(segment))
}

const SCHEME: &str = "spiffe://";
const MAX_LEN: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_printed_as_it_is_parsed() {
        let text = "spiffe://cluster.local/ns/sample/sa/client";
        let id: SpiffeId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.namespace(), Some("sample"));
        assert_eq!(id.service_account(), Some("client"));
        let built = SpiffeId::workload(id.trust_domain(), "sample", "client").unwrap();
        assert_eq!(built, id);
    }

    #[test]
    fn another_path_is_an_identity_but_no_workload() {
        let id: SpiffeId = "spiffe://example.org/agent/7".parse().unwrap();
        assert_eq!(id.namespace(), None);
        let nested: SpiffeId = "spiffe://td/ns/a/b/sa/c".parse().unwrap();
        assert_eq!(nested.service_account(), None);
    }

    #[test]
    fn what_spiffe_forbids_is_refused() {
        for text in [
            "https://cluster.local/ns/a/sa/b",
            "spiffe:///ns/a/sa/b",
            "spiffe://Cluster.Local/ns/a/sa/b",
            "spiffe://td:8080/ns/a/sa/b",
            "spiffe://td/",
            "spiffe://td/ns//sa/b",
            "spiffe://td/ns/../sa/b",
            "spiffe://td/ns/a%20b/sa/c",
        ] {
            assert!(text.parse::<SpiffeId>().is_err(), "{text}");
        }
        let long = format!("spiffe://td/{}", "a".repeat(2048));
        assert!(matches!(
            long.parse::<SpiffeId>(),
            Err(Malformed::TooLong(_))
        ));
    }

    #[test]
    fn a_namespace_cannot_smuggle_a_path() {
        let td: TrustDomain = "td".parse().unwrap();
        assert!(SpiffeId::workload(&td, "a/sa/x", "b").is_err());
        assert!(SpiffeId::workload(&td, "", "b").is_err());
    }
}
