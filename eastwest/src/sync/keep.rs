//! Keeps the last table on disk, and finds it there at a start.
//!
//! At each moment the file is a whole table or none.

use std::{
    io,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    task,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use trust::store::{Found, StateFile};

use super::{
    Publisher,
    memory::{Edge, Memory},
    standing::Remembered,
};
use crate::config::State;

/// Makes the kept table the routes, if there is one that is of use.
pub(crate) fn recall(state: &State, publisher: &Publisher) {
    let edge = Edge::of(publisher.config());
    let memory = match file(state).load(|bytes| Memory::decode(bytes, &edge)) {
        Found::Nothing => return,
        Found::Kept(memory) => memory,
        Found::Unusable(reason) => {
            tracing::warn!(reason, "kept table not used: starting without it");
            publisher.board.lock().set_aside = Some(reason);
            return;
        }
    };
    let remembered = Remembered::new(memory.seen(), SystemTime::now(), Instant::now());
    let age = humantime::format_duration(Duration::from_secs(remembered.age.as_secs()));
    tracing::info!(routes = memory.routes.len(), %age, "routes remembered");
    for (listener, why) in publisher.listen(&memory.listeners) {
        tracing::warn!(listener, why, "a remembered listener is not open");
    }
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
        if matches!(next, Some(Ok(Ok(())))) {
            let together = state.every.0.min(TOGETHER);
            cancel.run_until_cancelled(sleep(together)).await;
            changed.mark_unchanged();
        }
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
fn note(written: io::Result<bool>, state: &State, publisher: &Publisher) -> bool {
    let mut standing = publisher.board.lock();
    let error = match written {
        Ok(false) => return true,
        Ok(true) => {
            (standing.kept, standing.unkept) = (Some(Instant::now()), None);
            return true;
        }
        Err(error) => error,
    };
    let path = file(state).path();
    let reason = format!("{} cannot be written: {error}", path.display());
    if standing.unkept.as_ref() != Some(&reason) {
        tracing::warn!(reason, "the table is not kept");
    }
    standing.unkept = Some(reason);
    false
}

/// Says whether there was a table to write.
async fn write(state: &State, publisher: &Publisher) -> io::Result<bool> {
    let (complete, seen) = {
        let standing = publisher.board.lock();
        let now = (SystemTime::now(), Instant::now());
        (standing.complete, standing.seen(now.0, now.1))
    };
    let Some(seen) = seen.filter(|_| complete) else {
        return Ok(false);
    };
    let (specs, listeners) = (publisher.specs(), publisher.listeners());
    let edge = Edge::of(publisher.config());
    let file = file(state);
    let writing = task::spawn_blocking(move || {
        let bytes = Memory::new(edge, seen, specs, listeners).encode()?;
        file.replace(&bytes)
    });
    writing.await.map_err(io::Error::other)?.map(|()| true)
}

fn file(state: &State) -> StateFile {
    StateFile::new(&state.directory, "table")
}

/// A service comes in parts, as a listener and then as endpoints: both are written once.
const TOGETHER: Duration = Duration::from_millis(250);
const REFRESH: Duration = Duration::from_secs(60);
