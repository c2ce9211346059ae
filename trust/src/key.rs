//! Private keys: made here, P-256, never printed.

use std::fmt;

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};

use crate::error::Error;

/// A private key. Keys made here are ECDSA P-256; those read may be anything that rcgen signs
/// with (P-256, P-384, P-521, Ed25519, RSA).
pub struct Key {
    pair: KeyPair,
    der: PrivateKeyDer<'static>,
}

impl Key {
    /// Makes a new P-256 key.
    ///
    /// # Errors
    /// [`Error::Content`] when the system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        let pair = KeyPair::generate().map_err(|error| wrong("a new key", &error))?;
        let der = PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
        Ok(Self { pair, der })
    }

    /// Reads a PEM key (PKCS #8, SEC1 or PKCS #1); `place` names it in errors.
    ///
    /// # Errors
    /// [`Error::Content`] when there is no usable key in it.
    pub fn from_pem(pem: &[u8], place: &str) -> Result<Self, Error> {
        let der = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|_| wrong(place, &"there is no private key in it"))?;
        let pair = KeyPair::try_from(&der).map_err(|error| wrong(place, &error))?;
        Ok(Self { pair, der })
    }

    /// The key as PEM (PKCS #8 for keys made here). Whoever asks must keep it from others.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let tag = match self.der {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let block = pem::Pem::new(tag, self.der.secret_der());
        pem::encode_config(&block, PEM_LINES)
    }

    /// The key for rustls.
    #[must_use]
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        self.der.clone_key()
    }

    /// The public key (DER, SubjectPublicKeyInfo).
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

fn wrong(place: &str, what: &dyn fmt::Display) -> Error {
    Error::Content {
        place: place.to_owned(),
        what: what.to_string(),
        next: "put an unencrypted private key there, as PEM (PKCS #8, SEC1 or PKCS #1)",
    }
}

/// PEM with the line ends of Unix.
pub(crate) const PEM_LINES: pem::EncodeConfig =
    pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_pem_and_is_never_printed() {
        let key = Key::generate().unwrap();
        let pem = key.to_pem();
        let again = Key::from_pem(pem.as_bytes(), "test").unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(format!("{key:?}"), "Key(redacted)");
    }
}
