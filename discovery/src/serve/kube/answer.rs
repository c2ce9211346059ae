//! Answers over HTTP: the effectful side of [`super::list`] and [`super::watch`].
//!
//! A watch is a body that is written while its reader reads: it has no task of its own, and
//! ends with its connection.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use futures::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::{
    sync::watch as signal,
    time::{Instant, sleep, sleep_until},
};

use super::{
    accept::{Accept, Form},
    encode::Encoder,
    item::key,
    list,
    options::{At, Options, WatchParams},
    path::Target,
    query::Query,
    resource::Resource,
    selector::FieldSelector,
    status::Status,
    store::Store,
    watch::{Event, Watch},
};

/// What an answer carries.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How often and how long.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// Between two bookmarks of a silent watch.
    pub bookmark: Duration,
    /// How long a watch runs whose reader does not say.
    pub longest_watch: Duration,
    /// How long to wait for a version that is not there yet.
    pub patience: Duration,
}

impl Default for Rhythm {
    /// As kube-apiserver's.
    fn default() -> Self {
        Self {
            bookmark: Duration::from_secs(60),
            longest_watch: Duration::from_secs(1800),
            patience: Duration::from_secs(3),
        }
    }
}

/// Answers a GET of a collection or an object of `resource`.
///
/// # Errors
/// What Kubernetes refuses.
pub async fn read(
    store: Arc<dyn Store>,
    resource: Arc<Resource>,
    target: &Target,
    query: &Query,
    accept: &Accept,
    rhythm: Rhythm,
) -> Result<Response<Body>, Status> {
    let form = accept.form(query)?;
    let namespace = target.namespace.as_deref().filter(|_| resource.namespaced);
    // The old path of a watch may name the one object that it is about.
    let name = target.name.as_deref();
    if let Some(name) = name.filter(|_| !target.watch) {
        let key = key(namespace, name);
        let found = store.get(&resource, &key);
        let item = found.ok_or_else(|| Status::not_found(&resource, name))?;
        return Ok(json(StatusCode::OK, encoder(&resource, form).object(&item)));
    }
    let mut options = Options::parse(query, &resource, namespace, target.watch)?;
    if let (Some(name), Options::Watch(params)) = (name, &mut options) {
        params.selector.fields = FieldSelector::named(name);
    }
    match options {
        Options::List(params) => {
            if let At::NotOlderThan(version) | At::Exact(version) = params.at {
                reach(&*store, version, rhythm.patience).await;
            }
            let page = list::list(&*store, &resource, &params)?;
            Ok(json(StatusCode::OK, encoder(&resource, form).list(&page)))
        }
        Options::Watch(params) => {
            if params.initial {
                reach(&*store, params.since, rhythm.patience).await;
            }
            let stream = Stream::begin(store, resource, form, &params, rhythm);
            Ok(stream.answer())
        }
    }
}

/// An answer of JSON.
#[must_use]
pub fn json(code: StatusCode, text: Bytes) -> Response<Body> {
    whole(code, "application/json", text)
}

/// An answer of some media type.
#[must_use]
pub fn whole(code: StatusCode, media: &'static str, text: Bytes) -> Response<Body> {
    let mut answer = Response::new(Full::new(text).boxed_unsync());
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    answer
}

/// A refusal, or that something is done.
#[must_use]
pub fn told(status: &Status) -> Response<Body> {
    let mut answer = json(status.code(), status.text().into());
    if let Some(seconds) = status.retry_after() {
        let headers = answer.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

fn encoder(resource: &Resource, form: Form) -> Encoder<'_> {
    Encoder {
        resource,
        form,
        now: SystemTime::now(),
    }
}

/// Waits until the store has reached a version; not for ever.
async fn reach(store: &dyn Store, version: u64, patience: Duration) {
    let end = Instant::now() + patience;
    while store.version() < version && Instant::now() < end {
        sleep(LOOK.min(patience)).await;
    }
}

/// A watch as it is written.
struct Stream {
    store: Arc<dyn Store>,
    resource: Arc<Resource>,
    form: Form,
    watch: Watch,
    changes: signal::Receiver<u64>,
    /// What is to be written next.
    ready: VecDeque<Event>,
    /// Nothing was written yet.
    first: bool,
    /// After what is ready, the end.
    ended: bool,
    bookmark_every: Duration,
    bookmark: Instant,
    end: Instant,
}

impl Stream {
    fn begin(
        store: Arc<dyn Store>,
        resource: Arc<Resource>,
        form: Form,
        params: &WatchParams,
        rhythm: Rhythm,
    ) -> Self {
        // Before the first look: what comes behind it wakes us.
        let mut changes = store.changes(&resource);
        changes.mark_unchanged();
        let (watch, events) = Watch::begin(&*store, &resource, params);
        let now = Instant::now();
        let length = params.timeout.unwrap_or(rhythm.longest_watch);
        let mut stream = Self {
            store,
            resource,
            form,
            watch,
            changes,
            ready: VecDeque::new(),
            first: true,
            ended: false,
            bookmark_every: rhythm.bookmark,
            bookmark: now + rhythm.bookmark.min(length.saturating_sub(LAST_BOOKMARK)),
            end: now + length,
        };
        stream.take(events);
        stream
    }

    fn answer(self) -> Response<Body> {
        let frames = stream::unfold(self, |mut stream| async move {
            let bytes = stream.next().await?;
            Some((Ok(Frame::data(bytes)), stream))
        });
        let mut answer = Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)));
        let headers = answer.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        answer
    }

    /// The next lines; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.ready.is_empty() {
                return Some(self.lines());
            }
            if self.ended {
                return None;
            }
            tokio::select! {
                biased;
                () = sleep_until(self.end) => return None,
                changed = self.changes.changed() => {
                    changed.ok()?;
                    let since = self.watch.position();
                    let events = self.watch.advance(self.store.history(&self.resource, since));
                    self.take(events);
                }
                () = sleep_until(self.bookmark) => self.mark(),
            }
        }
    }

    fn take(&mut self, events: Vec<Event>) {
        self.ended |= events.iter().any(|event| matches!(event, Event::Failed(_)));
        self.ready.extend(events);
    }

    /// A bookmark of the version that all types have reached.
    fn mark(&mut self) {
        self.bookmark += self.bookmark_every;
        let since = self.watch.position();
        let events = self
            .watch
            .advance(self.store.history(&self.resource, since));
        self.take(events);
        if !self.ended {
            self.ready.extend(self.watch.bookmark());
        }
    }

    /// Some of what is ready, as one piece.
    fn lines(&mut self) -> Bytes {
        let encoder = encoder(&self.resource, self.form);
        let mut out = BytesMut::new();
        while out.len() < PIECE {
            let Some(event) = self.ready.pop_front() else {
                break;
            };
            out.extend_from_slice(&encoder.event(&event, self.first));
            self.first = false;
        }
        out.freeze()
    }
}

/// Between two looks at a version that is not there yet.
const LOOK: Duration = Duration::from_millis(20);
/// How long before its end a watch gets a last bookmark.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// Events are written together up to this many bytes.
const PIECE: usize = 64 * 1024;
