//! The set of roots that one party believes, in the order they were given.
//!
//! A bundle is never empty and holds each certificate once. It says nothing about whether
//! a root is still valid: that is asked at the moment of a handshake ([`Bundle::anchors`]).

use std::{fmt, sync::Arc};

use rustls::{RootCertStore, pki_types::TrustAnchor};
use time::OffsetDateTime;

use crate::{certificate::Certificate, error::Error};

/// An ordered, never empty set of root certificates. Cheap to clone.
#[derive(Clone)]
pub struct Bundle {
    roots: Arc<[Root]>,
}

#[derive(Clone)]
struct Root {
    certificate: Certificate,
    anchor: TrustAnchor<'static>,
}

impl Bundle {
    /// The roots of a PEM file; `place` names it in errors.
    ///
    /// # Errors
    /// [`Error::Content`] when there is no certificate, or one of them is unreadable or no CA.
    pub fn from_pem(pem: &[u8], place: &str) -> Result<Self, Error> {
        Self::new(Certificate::all_from_pem(pem, place)?, place)
    }

    /// A bundle of these roots; `place` names their origin in errors.
    ///
    /// # Errors
    /// [`Error::Content`] when there is none, or one of them is no CA.
    pub fn new(
        certificates: impl IntoIterator<Item = Certificate>,
        place: &str,
    ) -> Result<Self, Error> {
        let wrong = |what: String| Error::Content {
            place: place.to_owned(),
            what,
            next: "put the roots of the mesh there, as PEM certificates",
        };
        let mut roots: Vec<Root> = Vec::new();
        for certificate in certificates {
            if !certificate.is_ca() {
                return Err(wrong(format!(
                    "{} is no CA certificate",
                    certificate.label()
                )));
            }
            if roots.iter().any(|root| root.certificate == certificate) {
                continue;
            }
            let mut store = RootCertStore::empty();
            store
                .add(certificate.der().clone())
                .map_err(|error| wrong(format!("{}: {error}", certificate.label())))?;
            roots.extend(store.roots.into_iter().map(|anchor| Root {
                certificate: certificate.clone(),
                anchor,
            }));
        }
        if roots.is_empty() {
            return Err(wrong("there is no root certificate in it".to_owned()));
        }
        Ok(Self {
            roots: roots.into(),
        })
    }

    /// The roots, in order.
    pub fn roots(&self) -> impl ExactSizeIterator<Item = &Certificate> + Clone {
        self.roots.iter().map(|root| &root.certificate)
    }

    /// Whether this very certificate is one of the roots.
    #[must_use]
    pub fn contains(&self, certificate: &Certificate) -> bool {
        self.roots().any(|root| root == certificate)
    }

    /// All roots as one PEM text.
    #[cfg(feature = "request")]
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.roots().map(Certificate::to_pem).collect()
    }

    /// The roots that are valid at `now`, for webpki, which does not ask for the dates of an
    /// anchor itself (Envoy does).
    #[must_use]
    pub fn anchors(&self, now: OffsetDateTime) -> RootCertStore {
        let valid = |root: &&Root| root.certificate.is_valid_at(now);
        RootCertStore {
            roots: self
                .roots
                .iter()
                .filter(valid)
                .map(|root| root.anchor.clone())
                .collect(),
        }
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.roots().map(Certificate::label))
            .finish()
    }
}

impl PartialEq for Bundle {
    fn eq(&self, other: &Self) -> bool {
        self.roots().eq(other.roots())
    }
}

impl Eq for Bundle {}
