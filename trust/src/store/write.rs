//! Two ways to write several files at one moment: a rename of their directory, for what is
//! written once, and a swapped link, for what is replaced while others read it.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use super::directory::DATA_LINK;
use crate::error::Error;

type Files<'a> = [(&'a str, String)];

/// Makes `dir` (mode 0700) with these files (mode 0600), or nothing.
pub(super) fn whole(dir: &Path, files: &Files<'_>) -> Result<(), Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => Error::Occupied {
            path: dir.to_owned(),
            what: "exists and is not empty",
            next: "a CA is never overwritten: give another directory, or move this one away",
        },
        _ => Error::Write {
            path: dir.to_owned(),
            source,
            next: "give a path whose parent is writable and that is no mount point",
        },
    };
    let parent = match dir.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(failed)?;
    let place = generation(parent, ".isthmus-new-", files).map_err(failed)?;
    // A rename onto a directory with content is an error of the system: no race to lose.
    fs::rename(place.path(), dir).map_err(failed)?;
    let _moved = place.keep();
    sync(parent).map_err(failed)
}

/// Replaces the files of `dir` at one moment, for readers that go through its names or its
/// `..data` link. Makes the directory (mode 0700) where there is none.
pub(super) fn swap(dir: &Path, files: &Files<'_>) -> Result<(), Error> {
    let failed = |source| Error::Write {
        path: dir.to_owned(),
        source,
        next: "make the directory writable for this process",
    };
    private_directory(dir).map_err(failed)?;
    for (name, _) in files {
        let path = dir.join(name);
        if path
            .symlink_metadata()
            .is_ok_and(|found| !found.is_symlink())
        {
            return Err(Error::Occupied {
                path,
                what: "is a file that was not written here",
                next: "move it away, or give another directory",
            });
        }
    }
    let place = generation(dir, GENERATION, files).map_err(failed)?.keep();
    let name = place.file_name().unwrap_or(OsStr::new(""));
    let linked = link(dir, DATA_LINK, Path::new(name)).and_then(|()| {
        files.iter().try_for_each(|(name, _)| {
            let target = Path::new(DATA_LINK).join(name);
            match fs::read_link(dir.join(name)) {
                Ok(found) if found == target => Ok(()),
                _ => link(dir, name, &target),
            }
        })
    });
    linked
        .and_then(|()| remove_old_generations(dir, name))
        .and_then(|()| sync(dir))
        .map_err(failed)
}

/// Makes a directory of mode 0700, with its parents; one that exists is left as it is.
pub(crate) fn private_directory(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        outcome => outcome,
    }
}

/// A fresh directory in `parent` with the files in it, on the disk. It removes itself unless
/// kept.
fn generation(parent: &Path, prefix: &str, files: &Files<'_>) -> io::Result<tempfile::TempDir> {
    let place = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)?;
    for (name, content) in files {
        let mut options = OpenOptions::new();
        let path = place.path().join(name);
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
    }
    sync(place.path())?;
    Ok(place)
}

/// Makes `dir/name` a link to `target`, replacing what has that name at one moment.
fn link(dir: &Path, name: &str, target: &Path) -> io::Result<()> {
    let new: PathBuf = dir.join(format!("{GENERATION}link"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, &new)?;
    fs::rename(new, dir.join(name))
}

fn remove_old_generations(dir: &Path, current: &OsStr) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_string_lossy().starts_with(GENERATION);
        if ours && name != current && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

const GENERATION: &str = "..isthmus-";
