//! Directories and files for their owner alone, and their way to the disk.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Makes a directory of mode 0700, with its parents; one that exists is left as it is.
pub(crate) fn directory(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        outcome => outcome,
    }
}

/// Makes a file of mode 0600 that is not there yet, with its content on the disk.
#[cfg(feature = "ca")]
pub(super) fn file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = new_file(path)?;
    io::Write::write_all(&mut file, content)?;
    file.sync_all()
}

/// Makes an empty file of mode 0600 that is not there yet.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// Removes what a crash may have left.
pub(super) fn remove_rest(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Brings the names in a directory to the disk.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
