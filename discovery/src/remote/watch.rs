//! Follows one kind of objects at one API server: the effectful side of [`Cursor`].
//!
//! It never ends of itself and never forgets its place: whatever breaks, it waits and resumes.
//! A list is handed on whole or not at all, so that the picture can compare it with what it
//! knows; nothing here ever means that an object is gone but an event that says so, or a
//! whole list without it.

use std::{fmt::Debug, time::Duration};

use futures::{Stream, StreamExt};
use kube::{
    Resource,
    api::{ListParams, ObjectList, Request, WatchParams},
    core::WatchEvent,
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    cursor::{Backoff, Cursor, Outcome, Step},
    project::{Interner, ObjectKey},
};

/// Which objects to follow, and what to keep of each.
pub(crate) struct Subject<K, T> {
    /// The path of the collection.
    pub(crate) path: String,
    pub(crate) labels: Option<String>,
    pub(crate) fields: Option<String>,
    /// The path of the collection's API group version, where it may not be installed: asked
    /// before the list, so that nothing absent is ever listed.
    pub(crate) group: Option<&'static str>,
    /// Ask for metadata only.
    pub(crate) metadata: bool,
    pub(crate) project: fn(&K, &mut Interner) -> Option<T>,
}

/// What happened to objects of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change<T> {
    /// These and no others exist.
    Listed(Vec<(ObjectKey, T)>),
    /// This is new or another one.
    Applied(ObjectKey, T),
    /// This is no more.
    Gone(ObjectKey),
}

/// A `resourceVersion` as a number, by which changes of one API server can be ordered
/// (KEP-5504); 0 for one that is none.
pub(crate) type Revision = u64;

/// Why an API server did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The HTTP status, when there was an answer.
    pub(crate) status: Option<u16>,
    pub(crate) reason: String,
}

/// Nobody listens any more.
#[derive(Debug)]
pub(crate) struct Closed;

/// Who hears of the changes.
pub(crate) trait Audience: Send {
    /// What is kept of an object.
    type Fact: Send;

    /// Takes a change in, in order, made at that revision.
    fn hear(
        &mut self,
        change: Change<Self::Fact>,
        at: Revision,
    ) -> impl Future<Output = Result<(), Closed>> + Send;

    /// There was nothing to hear up to that revision.
    fn reached(&mut self, at: Revision) -> impl Future<Output = Result<(), Closed>> + Send;

    /// Asked before a whole list is handed over, and before a watch goes on: the answers may
    /// come from somebody else.
    fn verify(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The watch runs.
    fn following(&mut self);

    /// It does not, and will be tried again.
    fn failing(&mut self, failure: Failure) -> impl Future<Output = Result<(), Closed>> + Send;
}

/// Follows `subject` until nobody listens. `contact` changes when a retry is worth more than
/// it was: the server is back, or the credential is new.
pub(crate) async fn follow<K, A>(
    client: kube::Client,
    subject: Subject<K, A::Fact>,
    mut audience: A,
    mut contact: watch::Receiver<u64>,
    seed: u64,
) -> Result<(), Closed>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    A: Audience,
{
    let mut follower = Follower {
        client,
        subject,
        interner: Interner::default(),
        cursor: Cursor::start(),
        backoff: Backoff::new(seed),
        found: Vec::new(),
    };
    loop {
        contact.mark_unchanged();
        match follower.step(&mut audience).await {
            Ok(()) => follower.backoff.succeeded(),
            Err(Stop::Closed) => return Err(Closed),
            Err(Stop::Failed(failure)) => {
                audience.failing(failure).await?;
                let wait = sleep(follower.backoff.failed());
                tokio::select! {
                    () = wait => {}
                    changed = contact.changed() => changed.map_err(|_| Closed)?,
                }
            }
        }
    }
}

struct Follower<K, T> {
    client: kube::Client,
    subject: Subject<K, T>,
    interner: Interner,
    cursor: Cursor,
    backoff: Backoff,
    /// The pages of a list so far.
    found: Vec<(ObjectKey, T)>,
}

enum Stop {
    Closed,
    Failed(Failure),
}

impl<K, T> Follower<K, T>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Send,
{
    async fn step(&mut self, audience: &mut impl Audience<Fact = T>) -> Result<(), Stop> {
        match self.cursor.step().clone() {
            Step::List { after } => {
                let page = self.page(after.clone()).await;
                self.take_page(page, after.is_none(), audience).await
            }
            Step::Watch { since } => self.watch(&since, audience).await,
        }
    }

    async fn page(&self, after: Option<String>) -> Result<ObjectList<K>, Failure> {
        if let (Some(group), None) = (self.subject.group, &after) {
            let request = http::Request::get(group).body(Vec::new());
            self.ask(request.map_err(Failure::local)?).await?;
        }
        let params = ListParams {
            label_selector: self.subject.labels.clone(),
            field_selector: self.subject.fields.clone(),
            limit: Some(PAGE),
            continue_token: after,
            ..ListParams::default()
        };
        let request = Request::new(&self.subject.path);
        let request = match self.subject.metadata {
            true => request.list_metadata(&params),
            false => request.list(&params),
        };
        let text = self.ask(request.map_err(Failure::local)?).await?;
        serde_json::from_str(&text).map_err(Failure::local)
    }

    async fn ask(&self, request: http::Request<Vec<u8>>) -> Result<String, Failure> {
        let answer = self.client.request_text(request);
        let text = timeout(LIST_LIMIT, answer)
            .await
            .map_err(|_| Failure::slow(LIST_LIMIT))??;
        Ok(text)
    }

    async fn take_page(
        &mut self,
        page: Result<ObjectList<K>, Failure>,
        is_first: bool,
        audience: &mut impl Audience<Fact = T>,
    ) -> Result<(), Stop> {
        if is_first {
            self.found.clear();
        }
        let page = page.map_err(|failure| self.torn(failure))?;
        let next = page.metadata.continue_.filter(|token| !token.is_empty());
        let version = page.metadata.resource_version.unwrap_or_default();
        for object in &page.items {
            if let Some(fact) = (self.subject.project)(object, &mut self.interner)
                && let Some(key) = self.interner.key(object.meta())
            {
                self.found.push((key, fact));
            }
        }
        if next.is_none() {
            if version.is_empty() {
                return Err(self.torn(Failure::local("a list without a resourceVersion")));
            }
            audience
                .verify()
                .await
                .map_err(|failure| self.torn(failure))?;
            let found = std::mem::take(&mut self.found);
            let at = revision(&version);
            audience.hear(Change::Listed(found), at).await?;
        }
        self.cursor.on(Outcome::Page { version, next });
        Ok(())
    }

    fn torn(&mut self, failure: Failure) -> Stop {
        self.cursor.on(Outcome::Torn);
        Stop::Failed(failure)
    }

    async fn watch(
        &mut self,
        since: &str,
        audience: &mut impl Audience<Fact = T>,
    ) -> Result<(), Stop> {
        let length = self.backoff.watch_for();
        let begun = Instant::now();
        if let Err(failure) = audience.verify().await {
            return self.broken(failure, audience).await;
        }
        let mut events = match self.open(since, length).await {
            Ok(events) => events,
            Err(failure) => return self.broken(failure, audience).await,
        };
        audience.following();
        let mut heard = false;
        loop {
            let silence = length + GRACE;
            match timeout(silence, events.next()).await {
                Err(_) => return self.broken(Failure::slow(silence), audience).await,
                Ok(None) => break,
                Ok(Some(Err(error))) => return self.broken(error.into(), audience).await,
                Ok(Some(Ok(WatchEvent::Error(status)))) => {
                    return self.broken(kube::Error::Api(status).into(), audience).await;
                }
                Ok(Some(Ok(event))) => self.take_event(event, audience).await?,
            }
            heard = true;
        }
        self.cursor.on(Outcome::Ended);
        if heard || begun.elapsed() > SHORTEST_WATCH {
            Ok(())
        } else {
            Err(Stop::Failed(Failure::local("the watch ended as it began")))
        }
    }

    async fn open(
        &self,
        since: &str,
        length: Duration,
    ) -> Result<impl Stream<Item = kube::Result<WatchEvent<K>>> + Unpin + use<K, T>, Failure> {
        let params = WatchParams {
            label_selector: self.subject.labels.clone(),
            field_selector: self.subject.fields.clone(),
            timeout: u32::try_from(length.as_secs()).ok(),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = Request::new(&self.subject.path);
        let request = match self.subject.metadata {
            true => request.watch_metadata(&params, since),
            false => request.watch(&params, since),
        };
        let answer = self.client.request_events(request.map_err(Failure::local)?);
        let events = timeout(ANSWER_LIMIT, answer)
            .await
            .map_err(|_| Failure::slow(ANSWER_LIMIT))??;
        Ok(Box::pin(events))
    }

    async fn take_event(
        &mut self,
        event: WatchEvent<K>,
        audience: &mut impl Audience<Fact = T>,
    ) -> Result<(), Stop> {
        let (object, is_gone) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(mark) => {
                let version = mark.metadata.resource_version;
                audience.reached(revision(&version)).await?;
                self.cursor.on(Outcome::Event { version });
                return Ok(());
            }
            WatchEvent::Error(_) => return Ok(()),
        };
        let version = object.meta().resource_version.clone().unwrap_or_default();
        if let Some(key) = self.interner.key(object.meta()) {
            let fact = (self.subject.project)(&object, &mut self.interner);
            let change = match fact.filter(|_| !is_gone) {
                Some(fact) => Change::Applied(key, fact),
                None => Change::Gone(key),
            };
            audience.hear(change, revision(&version)).await?;
        }
        self.cursor.on(Outcome::Event { version });
        Ok(())
    }

    /// After history that is no more a list follows at once; until it is here, we are behind.
    async fn broken(
        &mut self,
        failure: Failure,
        audience: &mut impl Audience<Fact = T>,
    ) -> Result<(), Stop> {
        if failure.status == Some(410) {
            self.cursor.on(Outcome::Gone);
            return Ok(audience.failing(failure).await?);
        }
        self.cursor.on(Outcome::Ended);
        Err(Stop::Failed(failure))
    }
}

fn revision(version: &str) -> Revision {
    version.parse().unwrap_or_default()
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl Failure {
    pub(crate) fn local(reason: impl ToString) -> Self {
        Self {
            status: None,
            reason: reason.to_string(),
        }
    }

    pub(crate) fn slow(limit: Duration) -> Self {
        Self::local(format!(
            "no answer in {}",
            humantime::format_duration(limit)
        ))
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Self {
                status: Some(status.code),
                reason: format!("{} {}: {}", status.code, status.reason, status.message),
            };
        }
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            let text = error.to_string();
            if !reason.contains(&text) {
                reason = format!("{reason}: {text}");
            }
            source = error.source();
        }
        Self {
            status: None,
            reason,
        }
    }
}

/// Objects of one page of a list, as client-go asks.
const PAGE: u32 = 500;
/// How long a page may take.
const LIST_LIMIT: Duration = Duration::from_secs(60);
/// How long a watch's answer may take to begin.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How much longer than asked a watch may be silent.
const GRACE: Duration = Duration::from_secs(30);
/// A watch that ends sooner, with nothing said, is a failure.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);
