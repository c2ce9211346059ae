//! One run of one world: its name, its directory, and the sign that it lives.
//!
//! Everything that a run makes outside its own memory carries its name: the
//! directory, and every network namespace. The directory's lock is held as long
//! as the process lives, so that a later run knows which leftovers are nobody's.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result};

/// The prefix of everything that any run makes.
pub const PREFIX: &str = "isthmus-";

/// A run that is under way; dropping it removes its directory.
#[derive(Debug)]
pub struct Run {
    name: String,
    directory: PathBuf,
    _lock: File,
    keep_logs: std::cell::Cell<bool>,
}

impl Run {
    /// Starts a run, after clearing away what killed runs left.
    ///
    /// # Errors
    /// When the directory cannot be made or locked.
    pub fn start() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        sweep()?;
        let name = format!("{PREFIX}{}.{count}", std::process::id());
        let directory = home().join(&name);
        fs::create_dir_all(directory.join("log"))
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let lock = File::create(directory.join("lock"))?;
        lock.try_lock().context("the run's directory is locked")?;
        Ok(Self {
            name,
            directory,
            _lock: lock,
            keep_logs: std::cell::Cell::new(false),
        })
    }

    /// The run's name, unique on this machine.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the run keeps its files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where every process of the run logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Keeps the logs when the run ends, and says where they will be.
    pub fn keep_logs(&self) -> PathBuf {
        self.keep_logs.set(true);
        kept_logs().join(&self.name)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.keep_logs.get() {
            let kept = kept_logs();
            let _ = fs::create_dir_all(&kept);
            let _ = fs::rename(self.logs(), kept.join(&self.name));
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("cannot remove {}: {error}", self.directory.display());
        }
    }
}

/// Removes what runs left that were killed: their processes inside their
/// namespaces, the namespaces, the directories. A run whose lock is held is
/// left alone.
fn sweep() -> Result<()> {
    let entries = match fs::read_dir(home()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if !name.starts_with(PREFIX) || is_alive(&path) {
            continue;
        }
        for namespace in namespaces_of(name)? {
            clear_namespace(&namespace)?;
        }
        eprintln!("cleared away {name}, the rest of a killed run");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// A run lives while its lock is held. Its process is asked for too: a run that
/// is just starting has made its directory and not locked it yet.
fn is_alive(directory: &Path) -> bool {
    let held = File::open(directory.join("lock")).is_ok_and(|lock| lock.try_lock().is_err());
    let process = directory
        .file_name()
        .and_then(|name| name.to_str()?.strip_prefix(PREFIX)?.split('.').next());
    held || process.is_some_and(|id| Path::new("/proc").join(id).exists())
}

fn namespaces_of(run: &str) -> Result<Vec<String>> {
    let own = format!("{run}-");
    let listed = Command::new("ip").args(["netns", "list"]).output()?;
    Ok(String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with(&own))
        .map(str::to_owned)
        .collect())
}

/// Ends the processes that live in a namespace of a dead run, and removes it.
fn clear_namespace(name: &str) -> Result<()> {
    let listed = Command::new("ip").args(["netns", "pids", name]).output()?;
    for pid in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
        if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    Command::new("ip").args(["netns", "del", name]).status()?;
    Ok(())
}

fn home() -> PathBuf {
    std::env::temp_dir().join("isthmus-scenarios")
}

fn kept_logs() -> PathBuf {
    std::env::temp_dir().join("isthmus-scenario-logs")
}
