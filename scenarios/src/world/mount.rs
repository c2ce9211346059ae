//! Volumes as kubelets write them: all files of a Secret or ConfigMap change at once.
//!
//! Files are links into `..data`, itself a link that is renamed onto the newest
//! version. Whoever watches only the file's own name never sees it change.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};

/// Writes a version of the volume's files, of this mode, and switches to it.
///
/// # Errors
/// When a file or link cannot be made.
pub fn write(volume: &Path, files: &BTreeMap<&str, Vec<u8>>, mode: u32) -> Result<()> {
    fs::create_dir_all(volume)?;
    let data = volume.join("..data");
    let former = fs::read_link(&data).ok();
    let version = PathBuf::from(format!(
        "..{}",
        SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos()
    ));
    fs::create_dir(volume.join(&version))?;
    for (name, content) in files {
        let path = volume.join(&version).join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    let draft = volume.join("..data_tmp");
    symlink(&version, &draft)?;
    fs::rename(&draft, &data).with_context(|| format!("cannot switch {}", data.display()))?;
    for name in files.keys() {
        match symlink(Path::new("..data").join(name), volume.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    if let Some(former) = former {
        fs::remove_dir_all(volume.join(former))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_version_replaces_all_files_behind_the_same_links() {
        let volume = tempfile::tempdir().unwrap();
        let path = volume.path().join("mounted");
        let first = BTreeMap::from([("token", b"one".to_vec()), ("ca.crt", b"a".to_vec())]);
        let second = BTreeMap::from([("token", b"two".to_vec()), ("ca.crt", b"b".to_vec())]);
        write(&path, &first, 0o600).unwrap();
        assert_eq!(fs::read(path.join("token")).unwrap(), b"one");
        let link = fs::read_link(path.join("token")).unwrap();
        write(&path, &second, 0o600).unwrap();
        assert_eq!(fs::read(path.join("token")).unwrap(), b"two");
        assert_eq!(fs::read(path.join("ca.crt")).unwrap(), b"b");
        assert_eq!(fs::read_link(path.join("token")).unwrap(), link);
        // Two links to files, ..data, and the one version left.
        assert_eq!(fs::read_dir(&path).unwrap().count(), 4);
    }
}
