use std::future::Future;

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, Span};

/// Owns every task of a sidecar: each ends with its token, is waited for, and logs in its
/// span.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    tasks: TaskTracker,
    cancel: CancellationToken,
    span: Span,
    drain: CancellationToken,
}

impl Owner {
    pub(super) fn new(cancel: CancellationToken, span: Span) -> Self {
        Self {
            tasks: TaskTracker::new(),
            cancel,
            span,
            drain: CancellationToken::new(),
        }
    }

    /// Its token.
    pub(super) fn token(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// An owner whose tasks may end before those of `self`, and end with them.
    pub(super) fn child(&self) -> Self {
        Self {
            tasks: self.tasks.clone(),
            cancel: self.cancel.child_token(),
            span: self.span.clone(),
            drain: self.drain.clone(),
        }
    }

    /// Lets every HTTP/1 connection end with its next answer.
    pub(super) fn drain(&self) {
        self.drain.cancel();
    }

    /// Whether connections shall end with their next answer.
    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Ends its tasks.
    pub(super) fn end(&self) {
        self.cancel.cancel();
    }

    /// Runs `task` until it ends or the token is cancelled.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.spawn_to_end(async move {
            cancel.run_until_cancelled(task).await;
        });
    }

    /// Runs a task that ends by itself when the token is cancelled.
    pub(super) fn spawn_to_end(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task.instrument(self.span.clone()));
    }

    /// Waits until its token is cancelled and all tasks have ended.
    pub(super) async fn join(self) {
        self.cancel.cancelled().await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Hyper's own tasks (streams of HTTP/2) are owned too.
impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Owner {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}
