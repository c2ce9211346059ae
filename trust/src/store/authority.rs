//! A CA's directory, in Istio's `cacerts` layout.

use std::path::Path;

use time::OffsetDateTime;

use super::{CA_CERT, CA_KEY, CHAIN, ROOTS, Snapshot, write};
use crate::{bundle::Bundle, certificate::Certificate, error::Error, hierarchy::Ca, key::Key};

impl Ca {
    /// Reads a CA directory and verifies it as of `now`.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Content`] or [`Error::Refused`], with the file's name.
    pub fn read(dir: &Path, now: OffsetDateTime) -> Result<Self, Error> {
        Self::of(&Self::snapshot(dir)?, now)
    }

    pub(crate) fn snapshot(dir: &Path) -> Result<Snapshot, Error> {
        Snapshot::read(dir, &[CA_CERT, CA_KEY, CHAIN, ROOTS], MAKE_ONE)
    }

    pub(crate) fn of(files: &Snapshot, now: OffsetDateTime) -> Result<Self, Error> {
        let certificates = |name| Certificate::all_from_pem(files.bytes(name), &files.place(name));
        let certificate = certificates(CA_CERT)?
            .into_iter()
            .next()
            .ok_or_else(|| files.wrong(CA_CERT, "there is no certificate in it".to_owned()))?;
        let key = Key::from_pem(files.bytes(CA_KEY), &files.place(CA_KEY))?;
        let bundle = Bundle::from_pem(files.bytes(ROOTS), &files.place(ROOTS))?;
        let chain = certificates(CHAIN)?;
        Self::new(certificate, key, chain, bundle, now, &files.place(CA_CERT))
    }

    /// Writes a new CA directory, whole or not at all. What is there is never overwritten.
    ///
    /// # Errors
    /// [`Error::Occupied`] when the directory has content, [`Error::Write`] otherwise.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        // Istio asks for a chain file even where the CA is the root itself.
        let mut chain: String = self.chain().map(Certificate::to_pem).collect();
        if chain.is_empty() {
            chain = self.certificate().to_pem();
        }
        let files = [
            (CA_CERT, self.certificate().to_pem()),
            (CA_KEY, self.key().to_pem()),
            (CHAIN, chain),
            (ROOTS, self.bundle().to_pem()),
        ];
        write::whole(dir, &files)
    }
}

const MAKE_ONE: &str =
    "make a CA directory with `isthmus trust init` or `isthmus trust intermediate`";
