//! Certificate signing requests (PKCS #10): all that leaves the place where a key was made.
//!
//! A signer takes nothing from a request but its public key and the proof that the sender has
//! the private one. Names in it are for people; what is certified is the signer's decision.

use std::fmt;

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, PublicKey,
    PublicKeyData, SanType,
};
use rustls::pki_types::{CertificateSigningRequestDer, pem::PemObject};

use crate::{error::Error, identity::SpiffeId, key::Key};

/// A request whose signature has been checked.
pub struct Request {
    der: CertificateSigningRequestDer<'static>,
    public_key: PublicKey,
}

/// Whom a request says it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A workload: its URI, no subject.
    Workload(&'a SpiffeId),
    /// A CA of this name.
    Ca(&'a str),
}

impl Request {
    /// Makes a request for a key.
    ///
    /// # Errors
    /// [`Error::Content`] when the key cannot sign it.
    pub fn new(key: &Key, subject: Subject<'_>) -> Result<Self, Error> {
        let place = "a new signing request";
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        match subject {
            Subject::Workload(id) => {
                let uri = id.to_string().try_into().map_err(|e| wrong(place, &e))?;
                params.subject_alt_names = vec![SanType::URI(uri)];
            }
            Subject::Ca(name) => params.distinguished_name.push(DnType::CommonName, name),
        }
        let made = params
            .serialize_request(key.pair())
            .map_err(|error| wrong(place, &error))?;
        Self::from_der(made.into(), place)
    }

    /// Reads a PEM request; `place` names it in errors.
    ///
    /// # Errors
    /// [`Error::Content`] when it is no request, or its signature is not by its own key.
    pub fn from_pem(pem: &[u8], place: &str) -> Result<Self, Error> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem)
            .map_err(|_| wrong(place, &"there is no signing request in it"))?;
        Self::from_der(der, place)
    }

    /// The request as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let block = pem::Pem::new("CERTIFICATE REQUEST", self.der.to_vec());
        pem::encode_config(&block, crate::key::PEM_LINES)
    }

    /// The public key that is to be certified (DER, SubjectPublicKeyInfo).
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        self.public_key.subject_public_key_info()
    }

    #[cfg(feature = "ca")]
    pub(crate) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn from_der(der: CertificateSigningRequestDer<'static>, place: &str) -> Result<Self, Error> {
        let parsed =
            CertificateSigningRequestParams::from_der(&der).map_err(|e| wrong(place, &e))?;
        Ok(Self {
            der,
            public_key: parsed.public_key,
        })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

fn wrong(place: &str, what: &dyn fmt::Display) -> Error {
    Error::Content {
        place: place.to_owned(),
        what: what.to_string(),
        next: "make a signing request (PKCS #10) there, signed by its own key",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_and_a_forged_one_is_refused() {
        let key = Key::generate().unwrap();
        let request = Request::new(&key, Subject::Ca("c1")).unwrap();
        let again = Request::from_pem(request.to_pem().as_bytes(), "test").unwrap();
        assert_eq!(again.public(), key.public());

        let mut bytes = request.der.to_vec();
        let name = bytes.windows(2).position(|w| w == b"c1").unwrap();
        bytes[name] = b'x';
        let error = Request::from_der(bytes.into(), "forged").unwrap_err();
        assert!(error.to_string().contains("ignature"), "{error}");
    }

    #[test]
    fn a_workload_asks_by_its_uri() {
        let key = Key::generate().unwrap();
        let id = "spiffe://td/ns/a/sa/b".parse().unwrap();
        Request::new(&key, Subject::Workload(&id)).unwrap();
    }
}
