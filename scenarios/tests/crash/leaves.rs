//! Looks at leaf directories again and again: a reader must always find a key and the chain
//! that belongs to it.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

/// Somebody who looks at leaf directories on a thread of its own.
pub(super) struct Watchman {
    stop: Arc<AtomicBool>,
    /// Present until it is asked what it saw.
    thread: Option<JoinHandle<Result<Seen>>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How often a directory was looked at.
    pub(super) looks: usize,
    /// Leaves that differ.
    pub(super) leaves: BTreeSet<Vec<u8>>,
}

impl Watchman {
    /// Starts to look at these.
    pub(super) fn start(directories: Vec<PathBuf>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watch = move || {
            let mut seen = Seen::default();
            while !stopped.load(Ordering::Relaxed) {
                for directory in &directories {
                    let leaf = look(directory).with_context(|| {
                        format!("{} after {} looks", directory.display(), seen.looks)
                    })?;
                    seen.leaves.insert(leaf);
                    seen.looks += 1;
                }
                thread::sleep(PAUSE);
            }
            Ok(seen)
        };
        Self {
            stop,
            thread: Some(thread::spawn(watch)),
        }
    }

    /// Stops; fails with the first directory that did not hold together.
    pub(super) fn finish(mut self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it was asked before")?;
        let seen = thread.join();
        seen.unwrap_or_else(|_| bail!("the watchman panicked"))
    }
}

impl Drop for Watchman {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The leaf in a directory, which fits the key beside it. All files are of one generation: the
/// one behind `..data`, as readers of swapped directories do it.
fn look(directory: &Path) -> Result<Vec<u8>> {
    loop {
        let generation = fs::canonicalize(directory.join("..data"))?;
        let read = |name: &str| fs::read(generation.join(name));
        let files = (
            read("cert-chain.pem"),
            read("key.pem"),
            read("root-cert.pem"),
        );
        let (chain, key, roots) = match files {
            (Ok(chain), Ok(key), Ok(roots)) => (chain, key, roots),
            // Replaced while we looked: the next one must be whole.
            _ if fs::canonicalize(directory.join("..data"))? != generation => continue,
            (chain, key, roots) => {
                let whole: io::Result<Vec<_>> = [chain, key, roots].into_iter().collect();
                whole.map(|_| ())?;
                bail!("a file was missing for a moment");
            }
        };
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>()?;
        let roots = CertificateDer::pem_slice_iter(&roots).count();
        ensure!(roots > 0, "no root");
        let leaf = chain.first().context("no leaf")?.to_vec();
        let key = PrivateKeyDer::from_pem_slice(&key)?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?.keys_match()?;
        return Ok(leaf);
    }
}

const PAUSE: Duration = Duration::from_millis(5);
