//! One file of state: read once at a start, replaced whole ever after.
//!
//! At each moment the file is whole or not there: what is new is written beside it,
//! synchronised, and renamed over it. What is of no use is set aside, never deleted, so that
//! somebody can look at it.

use std::{
    fmt::Display,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::private;

/// Where a state lies: a file in a directory of its own.
#[derive(Debug, Clone)]
pub struct StateFile {
    directory: PathBuf,
    name: &'static str,
}

/// What was found at a start.
#[derive(Debug)]
pub enum Found<T> {
    /// There is none: the first start here.
    Nothing,
    /// What was kept.
    Kept(T),
    /// Something that is of no use, and why.
    Unusable(String),
}

impl StateFile {
    /// The file of this name; nothing is touched yet.
    #[must_use]
    pub fn new(directory: &Path, name: &'static str) -> Self {
        let directory = directory.to_owned();
        Self { directory, name }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join(self.name)
    }

    /// Reads it; what `read` refuses is set aside. Blocks on the file system.
    pub fn load<T, E: Display>(&self, read: impl FnOnce(&[u8]) -> Result<T, E>) -> Found<T> {
        let path = self.path();
        let shown = path.display();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return Found::Unusable(format!("{shown} cannot be read: {error}")),
        };
        let flaw = match read(&bytes) {
            Ok(kept) => return Found::Kept(kept),
            Err(flaw) => flaw,
        };
        let aside = self.beside("set-aside");
        Found::Unusable(match fs::rename(&path, &aside) {
            Ok(()) => format!("{shown}: {flaw}; set aside as {}", aside.display()),
            Err(error) => format!("{shown}: {flaw}; it cannot be set aside: {error}"),
        })
    }

    /// Replaces it, for its owner alone; makes the directory where there is none. Blocks on
    /// the file system.
    ///
    /// # Errors
    /// Those of the file system; what was there is still there.
    pub fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let write = |file: &mut File| file.write_all(bytes);
        self.replace_by(write).map(|_| ())
    }

    /// The same, by what `write` puts into the new file, which stays open.
    pub(super) fn replace_by(
        &self,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<File> {
        private::directory(&self.directory)?;
        let new = self.beside("new");
        private::remove_rest(&new)?;
        let mut file = private::new_file(&new)?;
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&new, self.path())?;
        private::sync(&self.directory)?;
        Ok(file)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn text(bytes: &[u8]) -> Result<String, &'static str> {
        match bytes.starts_with(b"good") {
            true => Ok(String::from_utf8_lossy(bytes).into_owned()),
            false => Err("it is not good"),
        }
    }

    #[test]
    fn it_is_replaced_whole_and_only_for_its_owner() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("made/here");
        let file = StateFile::new(&directory, "state");
        assert!(matches!(file.load(text), Found::Nothing));
        file.replace(b"good one").unwrap();
        // What a crash in the middle of a write leaves.
        fs::write(directory.join("state.new"), b"half").unwrap();
        file.replace(b"good two").unwrap();
        match file.load(text) {
            Found::Kept(read) => assert_eq!(read, "good two"),
            other => panic!("{other:?}"),
        }
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file.path()), 0o600);
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn what_is_refused_is_set_aside_with_the_reason() {
        let root = tempfile::tempdir().unwrap();
        let file = StateFile::new(root.path(), "state");
        file.replace(b"bad").unwrap();
        let aside = root.path().join("state.set-aside");
        match file.load(text) {
            Found::Unusable(reason) => {
                assert!(reason.contains("it is not good"), "{reason}");
                assert!(reason.contains(aside.to_str().unwrap()), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read(aside).unwrap(), b"bad");
        assert!(matches!(file.load(text), Found::Nothing));
    }

    #[test]
    fn what_cannot_be_read_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let file = StateFile::new(root.path(), "state");
        fs::create_dir(file.path()).unwrap();
        match file.load(text) {
            Found::Unusable(reason) => assert!(reason.contains("cannot be read"), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert!(file.path().is_dir());
        assert!(file.replace(b"good").is_err());
    }
}
