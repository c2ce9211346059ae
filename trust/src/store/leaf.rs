//! A workload's directory, kept fresh while others read it.

use std::path::Path;

use time::OffsetDateTime;

use super::{CA_KEY, CHAIN, LEAF_KEY, ROOTS, write};
use crate::{error::Error, issue::Leaf};

impl Leaf {
    /// Writes or replaces a leaf directory; a reader sees the old content or the new, never a
    /// mixture. The leaf is verified first.
    ///
    /// # Errors
    /// [`Error::Refused`] when the leaf does not verify, [`Error::Occupied`] when the directory
    /// holds a CA or files that were not written here, [`Error::Write`] otherwise.
    pub fn write(&self, dir: &Path, now: OffsetDateTime) -> Result<(), Error> {
        self.credential(now)?;
        if dir.join(CA_KEY).exists() {
            return Err(Error::Occupied {
                path: dir.to_owned(),
                what: "holds the key of a CA",
                next: "give the leaf a directory of its own",
            });
        }
        let files = [
            (CHAIN, self.chain_pem()),
            (LEAF_KEY, self.key.to_pem()),
            (ROOTS, self.bundle.to_pem()),
        ];
        write::swap(dir, &files)
    }
}
