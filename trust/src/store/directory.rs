//! Several files read as of one moment.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::error::Error;

/// The bytes of some files of a directory, and a digest over all of them.
///
/// Where the directory is swapped by its `..data` link (as kubelets do with Secrets, and as
/// leaf directories of ours are), all files come from one generation.
pub(crate) struct Snapshot {
    directory: PathBuf,
    files: BTreeMap<&'static str, Vec<u8>>,
    next: &'static str,
}

impl Snapshot {
    /// Reads these files; `next` tells the reader of an error what to do.
    pub(crate) fn read(
        directory: &Path,
        names: &[&'static str],
        next: &'static str,
    ) -> Result<Self, Error> {
        loop {
            let generation = generation(directory);
            let place = generation.as_deref().unwrap_or(directory);
            let read = |&name: &&'static str| match fs::read(place.join(name)) {
                Ok(bytes) => Ok((name, bytes)),
                Err(source) => Err(Error::Read {
                    path: directory.join(name),
                    source,
                    next,
                }),
            };
            match names.iter().map(read).collect() {
                // Replaced and removed while it was read: there is another one, whole.
                Err(_) if self::generation(directory) != generation => {}
                read => {
                    return Ok(Self {
                        directory: directory.to_owned(),
                        files: read?,
                        next,
                    });
                }
            }
        }
    }

    /// The bytes of one file, empty where it was not asked for.
    pub(crate) fn bytes(&self, name: &str) -> &[u8] {
        self.files.get(name).map_or(&[], Vec::as_slice)
    }

    /// Where the file lies, for messages.
    pub(crate) fn place(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// A complaint about the content of a file.
    pub(crate) fn wrong(&self, name: &str, what: String) -> Error {
        Error::Content {
            place: self.place(name),
            what,
            next: self.next,
        }
    }

    /// Changes when any of the files does.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (name, bytes) in &self.files {
            hash.update(name.as_bytes());
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        }
        hash.finalize().into()
    }
}

/// Where the files of now lie, in a directory that is swapped.
fn generation(directory: &Path) -> Option<PathBuf> {
    fs::canonicalize(directory.join(DATA_LINK)).ok()
}

/// The link that is swapped to replace all files of a directory at once.
pub(crate) const DATA_LINK: &str = "..data";
