//! What a certificate says, read once; whether a chain of them is to be believed is asked
//! in [`chain`], and why it is not, answered by [`Refusal`].

pub mod chain;
pub(crate) mod refusal;

use std::{fmt, fmt::Write as _};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
    x509::X509Name,
};

use crate::{error::Error, identity::SpiffeId};

pub use refusal::Refusal;

/// A certificate and the facts in it that decisions need. Nothing in it has been verified.
#[derive(Clone)]
pub struct Certificate {
    der: CertificateDer<'static>,
    subject: Name,
    issuer: Name,
    serial: Vec<u8>,
    public_key: Vec<u8>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    subject_key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    ca: Option<Ca>,
    signs_certificates: bool,
    uris: Vec<String>,
}

/// A distinguished name: compared by its DER, printed as text.
#[derive(Clone)]
struct Name {
    der: Vec<u8>,
    text: String,
    organization: Option<String>,
}

/// What the basic constraints of a CA allow.
#[derive(Clone, Copy)]
struct Ca {
    path_len: Option<u32>,
}

impl Certificate {
    /// Reads one DER certificate.
    ///
    /// # Errors
    /// [`Refusal::Unreadable`] when it is no X.509 certificate.
    pub fn from_der(der: &CertificateDer<'_>) -> Result<Self, Refusal> {
        let unreadable = |why: &dyn fmt::Display| Refusal::Unreadable {
            why: why.to_string(),
        };
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|e| unreadable(&e))?;
        if !rest.is_empty() {
            return Err(unreadable(&"bytes follow the certificate"));
        }
        let constraints = parsed.basic_constraints().map_err(|e| unreadable(&e))?;
        let usage = parsed.key_usage().map_err(|e| unreadable(&e))?;
        let names = parsed
            .subject_alternative_name()
            .map_err(|e| unreadable(&e))?;
        let (subject_key_id, authority_key_id) = key_ids(&parsed);
        Ok(Self {
            der: der.clone().into_owned(),
            subject: Name::of(parsed.subject()),
            issuer: Name::of(parsed.issuer()),
            serial: parsed.raw_serial().to_vec(),
            public_key: parsed.public_key().raw.to_vec(),
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
            subject_key_id,
            authority_key_id,
            ca: constraints.filter(|c| c.value.ca).map(|c| Ca {
                path_len: c.value.path_len_constraint,
            }),
            signs_certificates: usage.is_none_or(|u| u.value.key_cert_sign()),
            uris: names.map_or_else(Vec::new, |n| uris(&n.value.general_names)),
        })
    }

    /// Reads every certificate of a PEM text; `place` names it in errors.
    ///
    /// # Errors
    /// [`Error::Content`] when the text is no PEM or a certificate in it is unreadable.
    pub fn all_from_pem(pem: &[u8], place: &str) -> Result<Vec<Self>, Error> {
        let wrong = |what: String| Error::Content {
            place: place.to_owned(),
            what,
            next: "put PEM certificates there",
        };
        CertificateDer::pem_slice_iter(pem)
            .map(|der| {
                let der = der.map_err(|error| wrong(format!("is no PEM: {error:?}")))?;
                Self::from_der(&der).map_err(|refusal| wrong(refusal.to_string()))
            })
            .collect()
    }

    /// Its bytes.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its PEM text.
    #[cfg(feature = "request")]
    #[must_use]
    pub fn to_pem(&self) -> String {
        let block = pem::Pem::new("CERTIFICATE", self.der.to_vec());
        pem::encode_config(&block, crate::key::PEM_LINES)
    }

    /// The subject's name; empty for most leaves.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject.text
    }

    /// The organization in the subject's name: for a CA of ours, its mesh.
    #[must_use]
    pub fn organization(&self) -> Option<&str> {
        self.subject.organization.as_deref()
    }

    /// The issuer's name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer.text
    }

    /// A name for people: the subject, or the first URI, or the serial number.
    #[must_use]
    pub fn label(&self) -> String {
        let role = match (self.is_ca(), self.is_self_issued()) {
            (false, _) => "leaf",
            (true, false) => "intermediate",
            (true, true) => "root",
        };
        let name = match (self.subject(), self.uris.first()) {
            ("", Some(uri)) => uri.clone(),
            ("", None) => format!("serial {}", self.serial()),
            (subject, _) => subject.to_owned(),
        };
        format!("{role} `{name}`")
    }

    /// The serial number in hexadecimal.
    #[must_use]
    pub fn serial(&self) -> String {
        hex(&self.serial)
    }

    /// SHA-256 over its bytes, in hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.der))
    }

    /// The first moment of its validity.
    #[must_use]
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// The last moment of its validity.
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// Whether `now` lies within its validity.
    #[must_use]
    pub fn is_valid_at(&self, now: OffsetDateTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether its basic constraints say CA.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.ca.is_some()
    }

    /// How many CAs may stand between it and a leaf, where that is limited.
    #[must_use]
    pub fn path_len(&self) -> Option<u32> {
        self.ca.and_then(|ca| ca.path_len)
    }

    /// Whether its key usage, where it has one, allows signing certificates.
    #[must_use]
    pub fn signs_certificates(&self) -> bool {
        self.signs_certificates
    }

    /// Whether subject and issuer are one name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject.der == self.issuer.der
    }

    /// The subject key identifier (SKI) in hexadecimal.
    #[must_use]
    pub fn subject_key_id(&self) -> Option<String> {
        self.subject_key_id.as_deref().map(hex)
    }

    /// The authority key identifier (AKI) in hexadecimal.
    #[must_use]
    pub fn authority_key_id(&self) -> Option<String> {
        self.authority_key_id.as_deref().map(hex)
    }

    /// Every URI among its alternative names.
    #[must_use]
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// The identity it carries: exactly one URI, and that a SPIFFE id (X.509-SVID section 2).
    ///
    /// # Errors
    /// [`Refusal::NoIdentity`], [`Refusal::ManyIdentities`] or [`Refusal::MalformedIdentity`].
    pub fn identity(&self) -> Result<SpiffeId, Refusal> {
        match self.uris.as_slice() {
            [] => Err(Refusal::NoIdentity {
                member: self.label(),
            }),
            [uri] => uri
                .parse()
                .map_err(|why| Refusal::MalformedIdentity { why }),
            many => Err(Refusal::ManyIdentities { found: many.len() }),
        }
    }

    /// Whether the names and key identifiers allow that `self` signed `other`.
    #[must_use]
    pub fn may_have_issued(&self, other: &Self) -> bool {
        self.has_issuer_name_of(other)
            && match (&self.subject_key_id, &other.authority_key_id) {
                (Some(own), Some(wanted)) => own == wanted,
                _ => true,
            }
    }

    /// Whether `other` names this subject as its issuer.
    #[must_use]
    pub fn has_issuer_name_of(&self, other: &Self) -> bool {
        self.subject.der == other.issuer.der
    }

    /// Whether both certify one key.
    #[must_use]
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.public_key == other.public_key
    }

    /// Whether it certifies this key (DER, SubjectPublicKeyInfo).
    #[must_use]
    pub fn has_public_key(&self, key: &[u8]) -> bool {
        self.public_key == key
    }

    /// Whether the key of `issuer` made the signature of this certificate.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        let own = X509Certificate::from_der(&self.der);
        let issuer = X509Certificate::from_der(&issuer.der);
        let (Ok((_, own)), Ok((_, issuer))) = (own, issuer) else {
            return false;
        };
        own.verify_signature(Some(issuer.public_key())).is_ok()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("label", &self.label())
            .field("issuer", &self.issuer())
            .field("not_after", &timestamp(self.not_after))
            .finish_non_exhaustive()
    }
}

impl Name {
    fn of(name: &X509Name<'_>) -> Self {
        let organization = name.iter_organization().next();
        Self {
            der: name.as_raw().to_vec(),
            text: name.to_string(),
            organization: organization
                .and_then(|o| o.as_str().ok())
                .map(str::to_owned),
        }
    }
}

/// An instant as operators read it: RFC 3339, UTC.
#[must_use]
pub fn timestamp(instant: OffsetDateTime) -> String {
    instant
        .to_offset(time::UtcOffset::UTC)
        .replace_nanosecond(0)
        .unwrap_or(instant)
        .format(&Rfc3339)
        .unwrap_or_else(|_| instant.unix_timestamp().to_string())
}

fn key_ids(parsed: &X509Certificate<'_>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let (mut subject, mut authority) = (None, None);
    for extension in parsed.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => subject = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                authority = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            _ => {}
        }
    }
    (subject, authority)
}

fn uris(names: &[GeneralName<'_>]) -> Vec<String> {
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.iter().filter_map(uri).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
