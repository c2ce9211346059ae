//! Follows a file of static routes. A version with a mistake changes nothing.

use std::{fs, path::Path, time::Duration};

use std::time::{Instant, SystemTime};
use tokio::time::sleep;

use super::{Publisher, static_routes::parse};
use crate::error::Error;

/// Reads the routes for the first time.
///
/// # Errors
/// [`Error::Routes`]: a gateway does not start with routes that it cannot read.
pub(crate) fn load(path: &Path, publisher: &Publisher) -> Result<(), Error> {
    let failed = |reason: String| Error::Routes {
        path: path.to_owned(),
        reason,
    };
    let text = fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    take(&text, publisher).map_err(failed)
}

/// Looks at the file again and again.
pub(crate) async fn follow(path: &Path, publisher: &Publisher) {
    let mut last = None;
    loop {
        sleep(EVERY).await;
        let text = match tokio::fs::read_to_string(path).await {
            Ok(text) => text,
            Err(error) => {
                publisher
                    .board
                    .lock()
                    .lost(Instant::now(), error.to_string());
                continue;
            }
        };
        if last.as_ref() == Some(&text) {
            publisher.board.lock().touched(Instant::now());
            continue;
        }
        if let Err(error) = take(&text, publisher) {
            tracing::warn!(path = %path.display(), %error, "the routes before stay");
            publisher.board.lock().last_error = Some(error);
        }
        last = Some(text);
    }
}

fn take(text: &str, publisher: &Publisher) -> Result<(), String> {
    let routes = parse(text)?;
    tracing::info!(routes = routes.len(), "routes read");
    publisher.publish(routes);
    let mut standing = publisher.board.lock();
    standing.touched(Instant::now());
    standing.complete = true;
    standing.changed = Some(SystemTime::now());
    standing.last_error = None;
    Ok(())
}

const EVERY: Duration = Duration::from_secs(1);
