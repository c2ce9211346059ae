//! Keeps the last table on disk, and finds it there at a start.
//!
//! At each moment the file is a table that was, or there is none.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    task,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use trust::store::{Found, Journal};

use super::{
    Publisher,
    memory::{Edge, Head, Memory, SEAL, changes},
    standing::Remembered,
};
use crate::{config::State, route::Table};

/// Makes the kept table the routes, if there is one that is of use.
pub(crate) fn recall(state: &State, publisher: &Publisher) {
    let edge = Edge::of(publisher.config());
    let (memory, unused) = match journal(state).load(|bytes| Memory::decode(bytes, &edge)) {
        Found::Nothing => return,
        Found::Kept(memory) => memory,
        Found::Unusable(reason) => {
            tracing::warn!(reason, "kept table not used: starting without it");
            publisher.board.lock().set_aside = Some(reason);
            return;
        }
    };
    if unused > 0 {
        let why = "not written to the end when the last gateway here ended, or changed since";
        tracing::warn!(bytes = unused, why, "the end of the kept table is not used");
    }
    let remembered = Remembered::new(memory.head.seen(), SystemTime::now(), Instant::now());
    let age = humantime::format_duration(Duration::from_secs(remembered.age.as_secs()));
    tracing::info!(routes = memory.routes.len(), %age, "routes remembered");
    for (listener, why) in publisher.listen(memory.head.listeners) {
        tracing::warn!(%listener, why, "a remembered listener is not open yet");
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
    let mut writer = Writer {
        state,
        publisher,
        kept: None,
    };
    loop {
        // Without a change too: the age in it shall be that of the end.
        let next = timeout(REFRESH, changed.changed());
        let next = cancel.run_until_cancelled(next).await;
        if matches!(next, Some(Ok(Ok(())))) {
            let together = state.every.0.min(TOGETHER);
            cancel.run_until_cancelled(sleep(together)).await;
            changed.mark_unchanged();
        }
        if !writer.keep().await {
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
            writer.keep().await;
            return;
        }
    }
}

/// Writes one table after the other.
struct Writer<'k> {
    state: &'k State,
    publisher: &'k Publisher,
    /// None before the first is written.
    kept: Option<Kept>,
}

/// What is on disk.
struct Kept {
    journal: Journal,
    /// None while that is not known.
    table: Option<Arc<Table>>,
}

impl Writer<'_> {
    /// Writes the table, if there is one, and tells how that went; says whether well.
    async fn keep(&mut self) -> bool {
        let written = self.write().await;
        let mut standing = self.publisher.board.lock();
        let error = match written {
            Ok(false) => return true,
            Ok(true) => {
                (standing.kept, standing.unkept) = (Some(Instant::now()), None);
                return true;
            }
            Err(error) => error,
        };
        let path = journal(self.state).path();
        let reason = format!("{} cannot be written: {error}", path.display());
        if standing.unkept.as_ref() != Some(&reason) {
            tracing::warn!(reason, "the table is not kept");
        }
        standing.unkept = Some(reason);
        false
    }

    /// Says whether there was a table to write.
    async fn write(&mut self) -> io::Result<bool> {
        let (complete, seen) = {
            let standing = self.publisher.board.lock();
            let now = (SystemTime::now(), Instant::now());
            (standing.complete, standing.seen(now.0, now.1))
        };
        let Some(seen) = seen.filter(|_| complete) else {
            return Ok(false);
        };
        let edge = Edge::of(self.publisher.config());
        let head = Head::new(edge, seen, self.publisher.listeners());
        let table = self.publisher.table();
        let mut kept = self.kept.take().unwrap_or_else(|| Kept {
            journal: journal(self.state),
            table: None,
        });
        let writing = task::spawn_blocking(move || (kept.write(head, table), kept));
        let (written, kept) = writing.await.map_err(io::Error::other)?;
        self.kept = Some(kept);
        written.map(|()| true)
    }
}

impl Kept {
    /// Adds what changed, or writes all where that is not possible.
    fn write(&mut self, head: Head, table: Arc<Table>) -> io::Result<()> {
        let added = match self.table.take() {
            Some(before) => {
                let lines = changes(head.clone(), &table, &before);
                self.journal.append(lines)?
            }
            None => false,
        };
        if !added {
            let routes = table.routes().map(|route| route.shared_spec());
            let memory = Memory::new(head, routes.collect());
            self.journal.replace(memory.into_lines())?;
        }
        self.table = Some(table);
        Ok(())
    }
}

fn journal(state: &State) -> Journal {
    Journal::new(&state.directory, "table", SEAL)
}

/// A service comes in parts, as a listener and then as endpoints: both are written once.
const TOGETHER: Duration = Duration::from_millis(250);
const REFRESH: Duration = Duration::from_secs(60);
