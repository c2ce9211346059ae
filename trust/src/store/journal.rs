//! A state that is written whole once, and after that by what changes in it: a change of one
//! among thousands costs one.
//!
//! Below a first line that says what it is come lines of content, in batches that count whole
//! or not at all. Each ends with a line `sha256 <hex>` of all that is before it in the file,
//! so that a batch counts only where all before it are as they were written. The first is the
//! whole state.
//!
//! Not a database (redb, SQLite): those are as safe, but nobody can read them in an outage.

use std::{
    fmt::Display,
    fs::{self, File},
    io::{self, BufWriter, Write},
    mem,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{Broken, Found, Seal, StateFile, seal::sha256};

/// Where a state lies, and its file while changes can be appended.
#[derive(Debug)]
pub struct Journal {
    place: StateFile,
    seal: Seal,
    /// None before the whole state was written by this process, and after an error.
    open: Option<Open>,
}

/// A file of which all is known.
#[derive(Debug)]
struct Open {
    file: File,
    /// Of all that is in it.
    digest: Sha256,
    length: u64,
    /// The length of what was written first.
    whole: u64,
}

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents<'b> {
    /// The lines of each batch, at least one.
    pub batches: Vec<Vec<&'b [u8]>>,
    /// Bytes at the end that are no batch: cut off in a crash, or not what was written.
    pub unused: usize,
}

impl Journal {
    /// The file of this name; nothing is touched yet.
    #[must_use]
    pub fn new(directory: &Path, name: &'static str, seal: Seal) -> Self {
        Self {
            place: StateFile::new(directory, name),
            seal,
            open: None,
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.path()
    }

    /// Reads it; what `read` refuses is set aside. Blocks on the file system.
    pub fn load<T, E: Display>(&self, read: impl FnOnce(&[u8]) -> Result<T, E>) -> Found<T> {
        self.place.load(read)
    }

    /// Replaces it by one batch, the whole state. Blocks on the file system.
    ///
    /// # Errors
    /// Those of the lines and of the file system; what was there is still there.
    pub fn replace(
        &mut self,
        lines: impl IntoIterator<Item = io::Result<Vec<u8>>>,
    ) -> io::Result<()> {
        self.open = None;
        let mut digest = Sha256::new();
        let file = self.place.replace_by(|file| {
            let mut out = BufWriter::new(file);
            write_head(&mut out, self.seal, &mut digest)?;
            write_batch(&mut out, &mut digest, lines)?;
            out.flush()
        })?;
        let length = file.metadata()?.len();
        self.open = Some(Open {
            file,
            digest,
            length,
            whole: length,
        });
        Ok(())
    }

    /// Adds a batch, and says whether it did: not before the whole state was written, nor
    /// where somebody else changed the file, nor where it would become more than twice as
    /// long as that. Blocks on the file system.
    ///
    /// # Errors
    /// Those of the lines and of the file system; nothing more is added then.
    pub fn append(
        &mut self,
        lines: impl IntoIterator<Item = io::Result<Vec<u8>>>,
    ) -> io::Result<bool> {
        let path = self.path();
        let Some(mut open) = self.open.take().filter(|open| open.is_at(&path)) else {
            return Ok(false);
        };
        let mut batch = Vec::new();
        write_batch(&mut batch, &mut open.digest, lines)?;
        open.length += batch.len() as u64;
        if open.length > 2 * open.whole {
            return Ok(false);
        }
        open.file.write_all(&batch)?;
        open.file.sync_data()?;
        self.open = Some(open);
        Ok(true)
    }
}

impl Open {
    /// Whether it is what others find there.
    fn is_at(&self, path: &Path) -> bool {
        let (Ok(own), Ok(found)) = (self.file.metadata(), fs::metadata(path)) else {
            return false;
        };
        (own.dev(), own.ino(), self.length) == (found.dev(), found.ino(), found.len())
    }
}

fn write_head(out: &mut impl Write, seal: Seal, digest: &mut Sha256) -> io::Result<()> {
    let head = format!("{} {}\n", seal.of, seal.version);
    digest.update(&head);
    out.write_all(head.as_bytes())
}

fn write_batch(
    out: &mut impl Write,
    digest: &mut Sha256,
    lines: impl IntoIterator<Item = io::Result<Vec<u8>>>,
) -> io::Result<()> {
    for line in lines {
        let mut line = line?;
        if line.starts_with(END) || line.contains(&b'\n') {
            let why = "a line of content with a line break, or like the end of a batch";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        line.push(b'\n');
        digest.update(&line);
        out.write_all(&line)?;
    }
    let end = sha256(digest.clone());
    digest.update(&end);
    out.write_all(end.as_bytes())
}

/// The bytes of a file that has these batches.
///
/// # Errors
/// Those of the lines.
pub fn encode<L>(seal: Seal, batches: impl IntoIterator<Item = L>) -> io::Result<Vec<u8>>
where
    L: IntoIterator<Item = io::Result<Vec<u8>>>,
{
    let (mut bytes, mut digest) = (Vec::new(), Sha256::new());
    write_head(&mut bytes, seal, &mut digest)?;
    for batch in batches {
        write_batch(&mut bytes, &mut digest, batch)?;
    }
    Ok(bytes)
}

/// The batches that a file has.
///
/// # Errors
/// Why it has none.
pub fn decode(seal: Seal, bytes: &[u8]) -> Result<Contents<'_>, Broken> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let head = lines.next().unwrap_or_default();
    seal.check(head)?;
    let mut digest = Sha256::new_with_prefix(head);
    let (mut batches, mut batch) = (Vec::new(), Vec::new());
    let (mut read, mut used) = (head.len(), 0);
    for line in lines {
        read += line.len();
        if line.starts_with(END) {
            if line != sha256(digest.clone()).as_bytes() {
                break;
            }
            batches.push(mem::take(&mut batch));
            used = read;
        } else {
            batch.push(line.strip_suffix(b"\n").unwrap_or(line));
        }
        digest.update(line);
    }
    match batches.is_empty() {
        true => Err(Broken::Checksum),
        false => Ok(Contents {
            batches,
            unused: bytes.len() - used,
        }),
    }
}

/// What begins the last line of a batch, and none of its others.
const END: &[u8] = b"sha256 ";

#[cfg(test)]
mod tests;
