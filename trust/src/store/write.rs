//! Two ways to write several files at one moment: a rename of their directory, for what is
//! written once, and a swapped link, for what is replaced while others read it.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use super::{directory::DATA_LINK, private};
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
    private::sync(parent).map_err(failed)
}

/// Replaces the files of `dir` at one moment, for readers that go through its names or its
/// `..data` link. Makes the directory (mode 0700) where there is none.
pub(super) fn swap(dir: &Path, files: &Files<'_>) -> Result<(), Error> {
    let failed = |source| Error::Write {
        path: dir.to_owned(),
        source,
        next: "make the directory writable for this process",
    };
    private::directory(dir).map_err(failed)?;
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
        .and_then(|()| private::sync(dir))
        .map_err(failed)
}

/// A fresh directory in `parent` with the files in it, on the disk. It removes itself unless
/// kept.
fn generation(parent: &Path, prefix: &str, files: &Files<'_>) -> io::Result<tempfile::TempDir> {
    let place = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)?;
    for (name, content) in files {
        private::file(&place.path().join(name), content.as_bytes())?;
    }
    private::sync(place.path())?;
    Ok(place)
}

/// Makes `dir/name` a link to `target`, replacing what has that name at one moment.
fn link(dir: &Path, name: &str, target: &Path) -> io::Result<()> {
    let new: PathBuf = dir.join(format!("{GENERATION}link"));
    private::remove_rest(&new)?;
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

const GENERATION: &str = "..isthmus-";
