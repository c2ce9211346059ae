use std::fmt;

use rustls::pki_types::{CertificateDer, UnixTime};

use crate::{
    certificate::{Certificate, Refusal, chain},
    identity::{SpiffeId, TrustDomain},
    store::WorkloadCredential,
};

/// Which identities may be at the other end, of those that the bundle vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peers {
    /// One of these.
    Exactly(Vec<SpiffeId>),
    /// Anybody of this trust domain.
    TrustDomain(TrustDomain),
    /// Anybody whose leaf was signed by the CA that signed our own leaf. While that CA is
    /// replaced, leaves of the old and the new one do not meet.
    SameIntermediate,
}

impl Peers {
    /// Admits the holder of a verified leaf, or says why not.
    pub(super) fn admit(
        &self,
        leaf: &CertificateDer<'_>,
        own: &WorkloadCredential,
        now: UnixTime,
    ) -> Result<SpiffeId, Refusal> {
        let certificate = Certificate::from_der(leaf)?;
        let found = certificate.identity()?;
        let admitted = match self {
            Self::Exactly(allowed) => allowed.contains(&found),
            Self::TrustDomain(domain) => found.trust_domain() == domain,
            Self::SameIntermediate => {
                if chain::is_issued_by(leaf, own.issuer_anchor(), now) {
                    return Ok(found);
                }
                return Err(Refusal::OtherIntermediate {
                    found,
                    issuer: certificate.issuer().to_owned(),
                    own: own.issuer().subject().to_owned(),
                });
            }
        };
        if admitted {
            return Ok(found);
        }
        Err(Refusal::UnexpectedIdentity {
            found,
            expected: self.to_string(),
        })
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(allowed) => {
                for (i, id) in allowed.iter().enumerate() {
                    write!(f, "{}`{id}`", if i == 0 { "" } else { " or " })?;
                }
                if allowed.is_empty() {
                    f.write_str("nobody")?;
                }
                Ok(())
            }
            Self::TrustDomain(domain) => write!(f, "anybody of trust domain `{domain}`"),
            Self::SameIntermediate => f.write_str("a leaf of our own intermediate"),
        }
    }
}
