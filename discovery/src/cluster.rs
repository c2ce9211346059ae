//! A cluster's connection: kubeconfig → target → client.
//!
//! The client outlives what it is made of. A new token enters the running one (`credential`);
//! another server or CA makes a new channel, and whoever watched goes on there with the same
//! client from where it was. Whether the new server is the same cluster is for `remote` to
//! find out before it switches.

mod kubeconfig;
mod own;
mod transport;

use std::sync::Arc;

use http::Uri;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

pub use self::kubeconfig::Flaw;
pub(crate) use self::{
    kubeconfig::read_foreign,
    own::Own,
    transport::{Connection, Wire},
};
use crate::credential::Authorization;

/// How to reach an API server, and as whom.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// Scheme, host, port and path that every request begins with.
    pub(crate) server: Uri,
    /// The name that its certificate carries, when it is not the host.
    pub(crate) server_name: Option<String>,
    /// Who may have signed its certificate.
    pub(crate) roots: Roots,
    /// A client certificate.
    pub(crate) identity: Option<Identity>,
    /// A token.
    pub(crate) authorization: Authorization,
}

/// Who may have signed an API server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Those that the machine trusts.
    System,
    /// These.
    Given(Vec<CertificateDer<'static>>),
}

/// A client certificate with its key.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

/// What another target means for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// The token is replaced in the running client.
    Credential,
    /// Another server, CA or client certificate: another channel.
    Channel,
}

impl Target {
    /// What going over to `new` takes.
    pub(crate) fn change_to(&self, new: &Self) -> Change {
        if self == new {
            return Change::None;
        }
        let only_token = Self {
            authorization: new.authorization.clone(),
            ..self.clone()
        };
        if only_token == *new {
            Change::Credential
        } else {
            Change::Channel
        }
    }
}

impl Roots {
    /// The certificates in a PEM text; `None` when there are none, or one is broken.
    pub(crate) fn from_pem(pem: &[u8]) -> Option<Self> {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .ok()?;
        (!roots.is_empty()).then_some(Self::Given(roots))
    }
}

impl Identity {
    /// A chain and a key from PEM texts.
    pub(crate) fn from_pem(chain: &[u8], key: &[u8]) -> Option<Self> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .ok()?;
        let key = PrivateKeyDer::from_pem_slice(key).ok()?;
        (!chain.is_empty()).then_some(Self {
            chain,
            key: Arc::new(key),
        })
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key.secret_der() == other.key.secret_der()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn only_another_token_is_no_other_channel() {
        let token = |t: &str| Authorization::bearer(&SecretString::from(t)).unwrap();
        let old = Target {
            server: Uri::from_static("https://h:6443"),
            server_name: None,
            roots: Roots::System,
            identity: None,
            authorization: token("a"),
        };
        let mut new = old.clone();
        assert_eq!(old.change_to(&new), Change::None);
        new.authorization = token("b");
        assert_eq!(old.change_to(&new), Change::Credential);
        new.roots = Roots::Given(Vec::new());
        assert_eq!(old.change_to(&new), Change::Channel);
        let mut elsewhere = old.clone();
        elsewhere.server = Uri::from_static("https://h:6444");
        assert_eq!(old.change_to(&elsewhere), Change::Channel);
    }
}
