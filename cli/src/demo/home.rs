//! Where the demo's files are, and what is left of them.

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::look;

/// A directory for this process alone: keys will be in it. Removed with this value, unless
/// kept.
#[derive(Debug)]
pub(super) struct Home {
    directory: PathBuf,
    keep: bool,
}

impl Home {
    /// Makes it; with `keep` it stays.
    pub(super) fn make(keep: bool) -> Result<Self> {
        let directory = place();
        let made = DirBuilder::new().mode(0o700).create(&directory);
        made.with_context(|| format!("cannot make {}", directory.display()))?;
        let home = Self { directory, keep };
        fs::create_dir(home.logs())?;
        Ok(home)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of this process's own log.
    pub(super) fn log(&self) -> Result<File> {
        Ok(File::create(self.logs().join("demo.log"))?)
    }

    /// Leaves what is to be left, when all has ended, and says what that is: everything if it
    /// shall be kept, the logs alone after a failure, else nothing.
    pub(super) fn leave(self, failed: bool) -> Option<String> {
        if self.keep {
            return Some(self.directions());
        }
        if !failed {
            return None;
        }
        let kept = self.directory.with_extension("logs");
        Some(match fs::rename(self.logs(), &kept) {
            Ok(()) => format!("\nlogs: {}", kept.display()),
            Err(error) => format!("\nlogs cannot be kept in {}: {error}", kept.display()),
        })
    }

    /// How to look into it.
    fn directions(&self) -> String {
        let heading = format!("kept in {}:", self.directory.display());
        match look::kept(&self.directory) {
            Ok(looks) => look::list(&heading, &looks),
            // Without a name for this program the files are as good.
            Err(_) => heading,
        }
    }

    fn logs(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is only in a directory for what is temporary.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

fn place() -> PathBuf {
    let name = format!("isthmus-demo-{}", std::process::id());
    std::env::temp_dir().join(name)
}
