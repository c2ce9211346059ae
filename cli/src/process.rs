//! A role as a process: a runtime for it, and signals that end it.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// Runs `role` to its end on `threads` threads. The first SIGTERM or SIGINT cancels its token;
/// at the second one the process ends without waiting for the role.
///
/// # Errors
/// What the role returns, that a second signal cut it short, or that the process can't have
/// threads or signal handlers.
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
    let ended = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let cancel = CancellationToken::new();
        let impatience = async {
            let signal = signals.next().await;
            tracing::info!(signal, "shutting down");
            cancel.cancel();
            signals.next().await
        };
        tokio::select! {
            ended = role(cancel.clone()) => ended,
            signal = impatience => bail!("cut short by a second signal, {signal}"),
        }
    });
    // Nothing is left to wait for: either the role has ended, or nobody wants to wait.
    runtime.shutdown_background();
    ended
}

/// Asks the system to kill this process when the thread of process `parent` ends that started
/// it.
///
/// # Errors
/// When the system cannot, or the parent has ended already.
pub(crate) fn end_with(parent: i32) -> Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Whoever has lost its parent is another's child.
    if getppid().is_none_or(|pid| pid.as_raw_nonzero().get() != parent) {
        bail!("process {parent} has ended, or did not start this one");
    }
    Ok(())
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

/// The signals that ask a process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let handler = |kind| signal(kind).context("the process may not handle signals");
        Ok(Self {
            terminate: handler(SignalKind::terminate())?,
            interrupt: handler(SignalKind::interrupt())?,
        })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
