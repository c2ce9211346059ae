//! The snapshot's file: read once at the start, replaced whole ever after.
//!
//! At each moment the file is a whole snapshot or none: what is new is written beside it,
//! synchronised, and renamed over it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{Snapshot, Terms};

/// Where the snapshot lies.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    directory: PathBuf,
}

/// What was found at the start.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is none: the first start here.
    Nothing,
    /// What was kept.
    Kept(Box<Snapshot>),
    /// Something that is of no use, and why.
    Unusable(String),
}

impl Store {
    pub(crate) fn new(directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self { directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join("snapshot")
    }

    /// Reads it; what is no snapshot is set aside. Blocks on the file system.
    pub(crate) fn load(&self, terms: &Terms) -> Found {
        let path = self.path();
        let shown = path.display();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return Found::Unusable(format!("{shown} cannot be read: {error}")),
        };
        let flaw = match Snapshot::decode(&bytes, terms) {
            Ok(snapshot) => return Found::Kept(Box::new(snapshot)),
            Err(flaw) => flaw,
        };
        let aside = self.directory.join("snapshot.set-aside");
        Found::Unusable(match fs::rename(&path, &aside) {
            Ok(()) => format!("{shown}: {flaw}; set aside as {}", aside.display()),
            Err(error) => format!("{shown}: {flaw}; it cannot be set aside: {error}"),
        })
    }

    /// Replaces it. Blocks on the file system.
    pub(crate) fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        let beside = self.directory.join("snapshot.new");
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // What a crash may have left; its mode may be another one.
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, self.path())?;
        File::open(&self.directory)?.sync_all()
    }
}
