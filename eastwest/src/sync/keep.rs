//! Keeps the last table on disk, and finds it there at a start.
//!
//! At each moment the file is a whole table or none: what is new is written beside it,
//! synchronised, and renamed over it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    task,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Publisher,
    memory::{Edge, Memory},
    standing::Remembered,
};
use crate::config::State;

/// Makes the kept table the routes, if there is one that is of use.
pub(crate) fn recall(state: &State, publisher: &Publisher) {
    let path = path(&state.directory);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return unusable(publisher, &path, format!("cannot be read: {error}")),
    };
    let memory = match Memory::decode(&bytes, &Edge::of(publisher.config())) {
        Ok(memory) => memory,
        Err(flaw) => {
            let aside = state.directory.join("table.set-aside");
            let done = match fs::rename(&path, &aside) {
                Ok(()) => format!("set aside as {}", aside.display()),
                Err(error) => format!("it cannot be set aside: {error}"),
            };
            return unusable(publisher, &path, format!("{flaw}; {done}"));
        }
    };
    let remembered = Remembered::new(memory.seen(), SystemTime::now(), Instant::now());
    let age = humantime::format_duration(Duration::from_secs(remembered.age.as_secs()));
    tracing::info!(routes = memory.routes.len(), %age, "routes remembered");
    publisher.publish(memory.routes);
    let mut standing = publisher.board.lock();
    standing.remembered = Some(remembered);
    standing.complete = true;
}

/// Writes the table whenever it changed, at a bounded rate, until cancelled; the last one
/// is written then, too.
pub(crate) async fn keep(state: &State, publisher: &Publisher, cancel: &CancellationToken) {
    let mut changed = publisher.changed.subscribe();
    loop {
        // Without a change too: the age in it shall be that of the end.
        let next = timeout(REFRESH, changed.changed());
        let next = cancel.run_until_cancelled(next).await;
        if !note(write(state, publisher).await, state, publisher) {
            // To be tried again.
            changed.mark_changed();
        }
        if matches!(next, None | Some(Ok(Err(_)))) {
            return;
        }
        if cancel
            .run_until_cancelled(sleep(state.every.0))
            .await
            .is_none()
        {
            note(write(state, publisher).await, state, publisher);
            return;
        }
    }
}

/// Tells how a write went; says whether well.
fn note(written: io::Result<()>, state: &State, publisher: &Publisher) -> bool {
    let mut standing = publisher.board.lock();
    let Err(error) = written else {
        (standing.kept, standing.unkept) = (Some(Instant::now()), None);
        return true;
    };
    let path = path(&state.directory);
    let reason = format!("{} cannot be written: {error}", path.display());
    if standing.unkept.as_ref() != Some(&reason) {
        tracing::warn!(reason, "the table is not kept");
    }
    standing.unkept = Some(reason);
    false
}

async fn write(state: &State, publisher: &Publisher) -> io::Result<()> {
    let (complete, seen) = {
        let standing = publisher.board.lock();
        let now = (SystemTime::now(), Instant::now());
        (standing.complete, standing.seen(now.0, now.1))
    };
    let Some(seen) = seen.filter(|_| complete) else {
        return Ok(());
    };
    let specs = publisher.specs();
    let edge = Edge::of(publisher.config());
    let directory = state.directory.clone();
    let writing = task::spawn_blocking(move || {
        let bytes = Memory::new(edge, seen, specs).encode()?;
        replace(&directory, &bytes)
    });
    writing.await.map_err(io::Error::other)?
}

fn replace(directory: &Path, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let beside = directory.join("table.new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // What a crash may have left; its mode may be another one.
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path(directory))?;
    File::open(directory)?.sync_all()
}

fn unusable(publisher: &Publisher, path: &Path, why: String) {
    let reason = format!("{}: {why}", path.display());
    tracing::warn!(reason, "kept table not used: starting without it");
    publisher.board.lock().set_aside = Some(reason);
}

fn path(directory: &Path) -> PathBuf {
    directory.join("table")
}

const REFRESH: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_replaced_whole_and_only_for_its_owner() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("made/here");
        replace(&directory, b"one").unwrap();
        // What a crash in the middle of a write leaves.
        fs::write(directory.join("table.new"), b"half").unwrap();
        replace(&directory, b"two").unwrap();
        assert_eq!(fs::read(path(&directory)).unwrap(), b"two");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path(&directory)), 0o600);
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }
}
