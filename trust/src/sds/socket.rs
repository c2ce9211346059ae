//! A unix socket that belongs to us alone.

use std::{
    fs::{self, File, Metadata, Permissions},
    io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use crate::{error::Error, store::private_directory};

/// A socket that listens, and the file by which it is found.
pub(super) struct Socket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket; removed when dropped, unless it is another's by then.
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Socket {
    /// Listens there. The directory is made with mode 0700; a file that a dead process left
    /// behind is replaced, one on which somebody listens is not.
    pub(super) fn bind(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Write {
            path: path.to_owned(),
            source,
            next: "give a path whose directory can be made or written by this process",
        };
        let directory = match path.parent() {
            Some(directory) if directory != Path::new("") => directory,
            _ => Path::new("."),
        };
        private_directory(directory).map_err(failed)?;
        let opened = fs::metadata(directory).map_err(failed)?;
        let exposed = || Error::Occupied {
            path: directory.to_owned(),
            what: "lets other users reach the socket, and with it the identity",
            next: "give it to the user of this process, with mode 0700",
        };
        if opened.permissions().mode() & 0o077 != 0 {
            return Err(exposed());
        }
        // Two processes that find the same stale file do not both replace it.
        let lock = File::open(directory).map_err(failed)?;
        lock.lock().map_err(failed)?;
        if let Ok(found) = path.symlink_metadata() {
            make_way(path, &found, failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let made = path.symlink_metadata().map_err(failed)?;
        let file = SocketFile {
            path: path.to_owned(),
            device: made.dev(),
            inode: made.ino(),
        };
        if made.uid() != opened.uid() {
            return Err(exposed());
        }
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    /// The listener, and the file that must outlive it.
    pub(super) fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = |found: Metadata| (found.dev(), found.ino()) == (self.device, self.inode);
        if self.path.symlink_metadata().is_ok_and(is_ours) {
            // A file that cannot be removed is a stale one, and replaced as such.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a stale socket.
fn make_way(
    path: &Path,
    found: &Metadata,
    failed: impl Fn(io::Error) -> Error,
) -> Result<(), Error> {
    let occupied = |what, next| Error::Occupied {
        path: path.to_owned(),
        what,
        next,
    };
    if !found.file_type().is_socket() {
        return Err(occupied("is a file and no socket", "move it away"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
        Ok(_) => Err(occupied(
            "is a socket on which another process listens",
            "stop that process, or give another path",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn only_its_owner_reaches_it_and_nothing_stays() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sds/client/socket");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&path), 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("d/socket");
        let (listener, file) = Socket::bind(&path).unwrap().into_parts();
        let error = Socket::bind(&path).err().unwrap();
        assert!(
            error.to_string().contains("another process listens"),
            "{error}"
        );

        // Its process dies without a chance to tidy up.
        drop(listener);
        std::mem::forget(file);
        assert!(path.exists());
        let again = Socket::bind(&path).unwrap();

        // What is another's by now is not removed.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(again);
        assert!(path.exists());
        let error = Socket::bind(&path).err().unwrap();
        assert!(error.to_string().contains("no socket"), "{error}");
    }

    #[tokio::test]
    async fn a_directory_that_lets_others_in_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let open = place.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        let error = Socket::bind(&open.join("socket")).err().unwrap();
        assert!(error.to_string().contains("0700"), "{error}");
    }
}
