//! What goes wrong on request.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use discovery::serve::kube::{Status, status::Details};
use tokio::sync::watch;

/// The faults of a server, as they are now.
#[derive(Debug)]
pub(super) struct Faults {
    /// Nothing is read or written.
    frozen: watch::Sender<bool>,
    /// Sockets that close do so with a reset.
    resets: watch::Sender<bool>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    refusal: Option<u16>,
    delay: Duration,
}

impl Faults {
    pub(super) fn none() -> Self {
        Self {
            frozen: watch::Sender::new(false),
            resets: watch::Sender::new(false),
            kept: Mutex::default(),
        }
    }

    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    pub(super) fn frozen(&self) -> watch::Receiver<bool> {
        self.frozen.subscribe()
    }

    pub(super) fn reset(&self, resets: bool) {
        self.resets.send_replace(resets);
    }

    pub(super) fn resets(&self) -> watch::Receiver<bool> {
        self.resets.subscribe()
    }

    pub(super) fn refuse(&self, code: Option<u16>) {
        self.lock().refusal = code;
    }

    /// What every request is answered, if there is such a fault.
    pub(super) fn refusal(&self) -> Option<Status> {
        self.lock().refusal.map(status)
    }

    pub(super) fn slow(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    pub(super) fn delay(&self) -> Duration {
        self.lock().delay
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What Kubernetes says with such a code.
fn status(code: u16) -> Status {
    let retry = Details {
        retry_after_seconds: Some(1),
        ..Details::default()
    };
    match code {
        401 => Status::unauthorized(),
        403 => Status::failure(403, "Forbidden", "forbidden"),
        410 => Status::expired("too old resource version: 1 (2)"),
        429 => {
            let message = "Too many requests, please try again later.";
            Status::failure(429, "TooManyRequests", message).with(retry)
        }
        500 => Status::failure(
            500,
            "InternalError",
            "Internal error occurred: etcdserver: no leader",
        ),
        503 => Status::failure(503, "ServiceUnavailable", "apiserver is shutting down").with(retry),
        code => Status::failure(code, "", "a fault that was asked for"),
    }
}
