//! Proof of life: the moment of the last answer or event from an API server.
//!
//! A layer around the connection stamps it, so that every answer and every frame of a watch
//! counts, whoever asked. An answer that refuses us (401), or says that the server itself is
//! not well (5xx), proves nothing about what we would be told.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, TryFutureExt, future::MapOk};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::{BoxError, Layer, Service};

/// When an API server was last known to live. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    origin: Instant,
    /// Milliseconds since `origin`, plus one; zero for never.
    last: Arc<AtomicU64>,
}

/// Stamps a [`Life`] with each answer, and ends answers when their channel is retired.
#[derive(Clone)]
pub(crate) struct WitnessLayer {
    life: Life,
    retired: CancellationToken,
}

/// The service of [`WitnessLayer`].
#[derive(Clone)]
pub(crate) struct Witness<S> {
    layer: WitnessLayer,
    inner: S,
}

/// An answer's body that stamps with each frame.
pub(crate) struct Witnessed {
    body: Incoming,
    /// `None` when the answer proves nothing.
    life: Option<Life>,
    retired: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            last: Arc::new(AtomicU64::new(0)),
        }
    }
}

impl Life {
    /// It lives at `now`.
    pub(crate) fn stamp(&self, now: Instant) {
        let since = now.saturating_duration_since(self.origin).as_millis();
        let age = u64::try_from(since).unwrap_or(u64::MAX - 1);
        self.last.fetch_max(age + 1, Ordering::Relaxed);
    }

    /// When it was last known to live.
    pub(crate) fn last(&self) -> Option<Instant> {
        let millis = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.origin + Duration::from_millis(millis))
    }
}

impl WitnessLayer {
    pub(crate) fn new(life: Life, retired: CancellationToken) -> Self {
        Self { life, retired }
    }

    fn witness(&self, response: Response<Incoming>) -> Response<Witnessed> {
        let proves = proves_life(response.status());
        if proves {
            self.life.stamp(Instant::now());
        }
        response.map(|body| Witnessed {
            body,
            life: proves.then(|| self.life.clone()),
            retired: Box::pin(self.retired.clone().cancelled_owned()),
        })
    }
}

impl<S> Layer<S> for WitnessLayer {
    type Service = Witness<S>;

    fn layer(&self, inner: S) -> Witness<S> {
        Witness {
            layer: self.clone(),
            inner,
        }
    }
}

impl<S, B> Service<Request<B>> for Witness<S>
where
    S: Service<Request<B>, Response = Response<Incoming>>,
{
    type Response = Response<Witnessed>;
    type Error = S::Error;
    type Future =
        MapOk<S::Future, Box<dyn FnOnce(Response<Incoming>) -> Response<Witnessed> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let layer = self.layer.clone();
        self.inner
            .call(request)
            .map_ok(Box::new(move |response| layer.witness(response)))
    }
}

impl Body for Witnessed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.retired.poll_unpin(cx).is_ready() {
            return Poll::Ready(Some(Err("the connection was replaced".into())));
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let (Some(Ok(_)), Some(life)) = (&frame, &self.life) {
            life.stamp(Instant::now());
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn proves_life(status: StatusCode) -> bool {
    status != StatusCode::UNAUTHORIZED && !status.is_server_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_never_goes_back() {
        let life = Life::default();
        let at = |millis| life.origin + Duration::from_millis(millis);
        assert_eq!(life.last(), None);
        life.stamp(at(0));
        assert_eq!(life.last(), Some(at(0)));
        life.clone().stamp(at(2000));
        life.stamp(at(1000));
        assert_eq!(life.last(), Some(at(2000)));
    }

    #[test]
    fn a_refusal_is_no_proof() {
        assert!(proves_life(StatusCode::OK));
        assert!(proves_life(StatusCode::FORBIDDEN));
        assert!(proves_life(StatusCode::GONE));
        assert!(!proves_life(StatusCode::UNAUTHORIZED));
        assert!(!proves_life(StatusCode::SERVICE_UNAVAILABLE));
    }
}
