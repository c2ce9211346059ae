//! A CA's certificate on its way from the signer to the place where its key was made.

use time::OffsetDateTime;

use super::Ca;
use crate::{bundle::Bundle, certificate::Certificate, error::Error, key::Key};

/// What a signer gives for a CA's request. It holds nothing secret.
#[derive(Debug, Clone)]
pub struct Grant {
    certificate: Certificate,
    /// The CAs above it, no root.
    above: Vec<Certificate>,
    bundle: Bundle,
}

impl Grant {
    pub(super) fn new(certificate: Certificate, above: Vec<Certificate>, bundle: Bundle) -> Self {
        Self {
            certificate,
            above,
            bundle,
        }
    }

    /// The CA's certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The roots that the CA and everybody below it are to believe.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// As PEM: the certificate, the CAs above it, the roots.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let way = [&self.certificate].into_iter().chain(&self.above);
        let roots = self.bundle.roots();
        way.chain(roots).map(Certificate::to_pem).collect()
    }

    /// Reads what [`Grant::to_pem`] writes; `place` names it in errors. Nothing is verified
    /// before [`Grant::accept`].
    ///
    /// # Errors
    /// [`Error::Content`] when there is no certificate, or no root, in it.
    pub fn from_pem(pem: &[u8], place: &str) -> Result<Self, Error> {
        let all = Certificate::all_from_pem(pem, place)?;
        let (roots, mut way): (Vec<_>, Vec<_>) =
            all.into_iter().partition(Certificate::is_self_issued);
        if way.is_empty() {
            return Err(Error::Content {
                place: place.to_owned(),
                what: "there is no certificate in it but roots".to_owned(),
                next: "give the file that `isthmus trust sign` wrote",
            });
        }
        let certificate = way.remove(0);
        Ok(Self {
            certificate,
            above: way,
            bundle: Bundle::new(roots, place)?,
        })
    }

    /// The CA, with the key that its request was made for; verified as of `now`.
    ///
    /// # Errors
    /// As [`Ca::new`].
    pub fn accept(self, key: Key, now: OffsetDateTime, place: &str) -> Result<Ca, Error> {
        Ca::new(self.certificate, key, self.above, self.bundle, now, place)
    }
}
