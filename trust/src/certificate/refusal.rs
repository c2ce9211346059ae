use time::OffsetDateTime;

use super::timestamp;
use crate::identity::{Malformed, SpiffeId};

/// Why a certificate chain is not believed: one reason for each way to be wrong.
///
/// A TLS peer that is refused reads the alert `certificate_unknown`; the reason itself stays
/// on this side, in the error of the handshake ([`Refusal::in_handshake`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No certificate was presented.
    #[error("no certificate was presented")]
    Empty,
    /// More certificates than a chain of ours can have.
    #[error("{found} certificates were presented; at most {limit} are read")]
    TooMany {
        /// How many there were.
        found: usize,
        /// How many are read.
        limit: usize,
    },
    /// Bytes that are no certificate.
    #[error("a certificate cannot be read: {why}")]
    Unreadable {
        /// What the parser said.
        why: String,
    },
    /// The chain leads to nobody in the bundle.
    #[error("{member} was issued by `{issuer}`, which is neither in the chain nor a root of the bundle{}", if *.same_name {
        " (the bundle has a root of that name with another key: another mesh, or another generation; compare `isthmus trust show` on both sides)"
    } else {
        " (another mesh, or an intermediate is missing in the chain)"
    })]
    UnknownRoot {
        /// The last certificate that could be placed.
        member: String,
        /// The name of its issuer.
        issuer: String,
        /// Whether a root of that name, but with another key, is in the bundle.
        same_name: bool,
    },
    /// A member's time is over.
    #[error("{member} expired at {} (now is {}): renew it", timestamp(*.not_after), timestamp(*.now))]
    Expired {
        /// Which.
        member: String,
        /// Its last moment.
        not_after: OffsetDateTime,
        /// When it was looked at.
        now: OffsetDateTime,
    },
    /// A member's time has not come.
    #[error("{member} is valid only from {} (now is {}): compare the clocks", timestamp(*.not_before), timestamp(*.now))]
    NotYetValid {
        /// Which.
        member: String,
        /// Its first moment.
        not_before: OffsetDateTime,
        /// When it was looked at.
        now: OffsetDateTime,
    },
    /// Several roots of one name, and nothing in the member tells which of them signed it.
    /// OpenSSL and Envoy would believe it or not by the order of the bundle.
    #[error(
        "{member} names its issuer `{issuer}`, {roots} roots of the bundle have that name, and no key identifier (AKI, SKI) tells them apart: issue it again with an AKI"
    )]
    AmbiguousIssuer {
        /// The certificate without an AKI.
        member: String,
        /// The name that is not unique.
        issuer: String,
        /// How many roots have it.
        roots: usize,
    },
    /// More CAs below a CA than it allows.
    #[error(
        "{member} allows {allowed} CAs below it, the chain has {below} (basic constraints, pathlen)"
    )]
    PathLength {
        /// The CA whose limit is broken.
        member: String,
        /// Its limit.
        allowed: u32,
        /// What was found.
        below: u32,
    },
    /// An issuer that is no CA, or whose key may not sign certificates.
    #[error("{member} issued another certificate but {}", if *.no_key_usage { "its key usage lacks keyCertSign" } else { "is no CA" })]
    NotCa {
        /// The certificate that signed.
        member: String,
        /// It is a CA, but its key usage does not allow it to sign.
        no_key_usage: bool,
    },
    /// A CA's certificate where that of a workload belongs.
    #[error("{member} is a CA certificate and cannot stand for a workload")]
    LeafIsCa {
        /// The certificate.
        member: String,
    },
    /// The extended key usage does not allow this side of TLS.
    #[error("{member} is not made for TLS {side}s (extended key usage)")]
    Usage {
        /// The leaf.
        member: String,
        /// `client` or `server`.
        side: &'static str,
    },
    /// A signature that the issuer's key did not make.
    #[error("the signature of {member} was not made by the key of {issuer}")]
    Signature {
        /// The certificate with the signature.
        member: String,
        /// Whose key was expected.
        issuer: String,
    },
    /// Refused by webpki for a reason that is none of the others.
    #[error("refused by webpki: {why}")]
    Other {
        /// The library's words.
        why: String,
    },
    /// No URI among the alternative names.
    #[error("{member} carries no SPIFFE id")]
    NoIdentity {
        /// The leaf.
        member: String,
    },
    /// More than one URI among the alternative names.
    #[error("the leaf carries {found} URIs; a SPIFFE certificate has exactly one")]
    ManyIdentities {
        /// How many.
        found: usize,
    },
    /// The URI is no SPIFFE id.
    #[error("the leaf's URI is no SPIFFE id: {why}")]
    MalformedIdentity {
        /// What is wrong with it.
        why: Malformed,
    },
    /// A true identity, but none that is allowed here.
    #[error("the peer is `{found}`; expected is {expected}")]
    UnexpectedIdentity {
        /// Who it is.
        found: SpiffeId,
        /// Who may be here.
        expected: String,
    },
    /// A true identity from another cluster's intermediate.
    #[error("the peer `{found}` was certified by `{issuer}`; only leaves of `{own}` may be here")]
    OtherIntermediate {
        /// Who it is.
        found: SpiffeId,
        /// Who signed for it.
        issuer: String,
        /// Who signed for us.
        own: String,
    },
}

impl Refusal {
    /// The refusal as the error of a TLS handshake; [`Refusal::of_handshake`] gets it back.
    #[must_use]
    pub fn in_handshake(self) -> rustls::Error {
        let other = rustls::OtherError(std::sync::Arc::new(self));
        rustls::CertificateError::Other(other).into()
    }

    /// The refusal that ended a handshake of ours, where one did.
    #[must_use]
    pub fn of_handshake(error: &rustls::Error) -> Option<&Self> {
        match error {
            rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
                other.0.downcast_ref()
            }
            _ => None,
        }
    }
}
