//! Where log lines go.

use std::io::IsTerminal;
#[cfg(feature = "demo")]
use std::{fs::File, sync::Mutex};

use tracing_subscriber::EnvFilter;

/// Sends log lines to standard error: as JSON, one object each, or as text where a person
/// looks at them. Which lines, `ISTHMUS_LOG` says in the syntax of
/// [`EnvFilter`] (default `info`). Standard output is left to a role's own output.
pub(crate) fn start() {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(chosen())
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        lines.init();
    } else {
        lines.json().flatten_event(true).init();
    }
}

/// Sends log lines to a file.
#[cfg(feature = "demo")]
pub(crate) fn start_into(file: File) {
    tracing_subscriber::fmt()
        .with_env_filter(chosen())
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .init();
}

fn chosen() -> EnvFilter {
    EnvFilter::try_from_env("ISTHMUS_LOG").unwrap_or_else(|_| EnvFilter::new("info"))
}
