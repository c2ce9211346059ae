//! A role as a process: a runtime for it, and signals that end it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// Runs `role` to its end on `threads` threads. SIGTERM and SIGINT cancel its token, once;
/// the second signal ends the process as if nobody handled it.
///
/// # Errors
/// What the role returns, or that the process can't have threads or signal handlers.
pub(crate) fn run<Role>(
    threads: Threads,
    role: impl FnOnce(CancellationToken) -> Role,
) -> Result<ExitCode>
where
    Role: Future<Output = Result<ExitCode>>,
{
    let mut builder = match threads {
        Threads::One => Builder::new_current_thread(),
        #[cfg(feature = "discovery")]
        Threads::PerCore => Builder::new_multi_thread(),
    };
    let runtime = builder
        .enable_all()
        .build()
        .context("the process may not start its threads")?;
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        let stopped = cancel_on_signal(cancel.clone())?;
        let mut role = std::pin::pin!(role(cancel));
        tokio::select! {
            ended = &mut role => return ended,
            () = stopped => {}
        }
        role.await
    })
}

/// How many threads a role's runtime has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Threads {
    /// One: for roles that bring their own, or have little to do.
    One,
    /// One per core.
    #[cfg(feature = "discovery")]
    PerCore,
}

/// Waits for the first signal, cancels `token`, and lets the next signal end the process.
fn cancel_on_signal(token: CancellationToken) -> Result<impl Future<Output = ()>> {
    let handler = |kind| signal(kind).context("the process may not handle signals");
    let mut terminate = handler(SignalKind::terminate())?;
    let mut interrupt = handler(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "shutting down");
        token.cancel();
    })
}
