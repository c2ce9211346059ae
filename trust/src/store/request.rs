//! The directory of a CA that waits for its certificate: a key, and the request that leaves.

use std::path::Path;

use super::{CA_KEY, REQUEST, Snapshot, write};
use crate::{
    error::Error,
    hierarchy::Tier,
    key::Key,
    request::{Request, Subject},
};

/// A CA's key, made where it will be used, and the request for its certificate.
#[derive(Debug)]
pub struct PendingCa {
    key: Key,
    request: Request,
}

impl PendingCa {
    /// Makes a key, and a request for a CA at this place.
    ///
    /// # Errors
    /// [`Error::Content`] when no key can be made.
    pub fn create(tier: Tier<'_>) -> Result<Self, Error> {
        let key = Key::generate()?;
        let request = Request::new(&key, Subject::Ca(&tier.to_string()))?;
        Ok(Self { key, request })
    }

    /// The request: all that leaves.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The key. Whoever takes it must keep it from others.
    #[must_use]
    pub fn into_key(self) -> Key {
        self.key
    }

    /// Writes a new directory, whole or not at all. What is there is never overwritten.
    ///
    /// # Errors
    /// [`Error::Occupied`] when the directory has content, [`Error::Write`] otherwise.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let files = [
            (CA_KEY, self.key.to_pem()),
            (REQUEST, self.request.to_pem()),
        ];
        write::whole(dir, &files)
    }

    /// Reads such a directory.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::Content`], with the file's name.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let files = Snapshot::read(dir, &[CA_KEY, REQUEST], MAKE_ONE)?;
        Ok(Self {
            key: Key::from_pem(files.bytes(CA_KEY), &files.place(CA_KEY))?,
            request: Request::from_pem(files.bytes(REQUEST), &files.place(REQUEST))?,
        })
    }
}

const MAKE_ONE: &str = "make the directory with `isthmus trust request`";
