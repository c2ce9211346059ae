//! The resources of one kind, compared by their bytes and decoded when they are needed.

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::Stream;
use crate::sync::{decode::Unfit, session::Update};

/// What was said and not taken back, by name.
#[derive(Debug)]
pub(super) struct Collection<T> {
    decode: fn(&[u8]) -> Result<T, Unfit>,
    /// The stream that answered last; none before the first answer.
    heard: Option<Stream>,
    kept: HashMap<Arc<str>, Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    bytes: Box<[u8]>,
    /// Absent until somebody needs it.
    value: OnceCell<Result<T, Unfit>>,
    heard: Stream,
}

/// The names that an update touched.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) names: Vec<Arc<str>>,
    pub(super) refused: Vec<(String, String)>,
}

impl<T> Collection<T> {
    pub(super) fn new(decode: fn(&[u8]) -> Result<T, Unfit>) -> Self {
        Self {
            decode,
            heard: None,
            kept: HashMap::new(),
        }
    }

    /// Takes an update in. What is `lazy` is decoded when it is needed, everything else at
    /// once, so that it can be refused.
    pub(super) fn apply(
        &mut self,
        update: Update,
        stream: Stream,
        lazy: impl Fn(&str) -> bool,
    ) -> Touched {
        self.heard = Some(stream);
        let mut touched = Touched::default();
        let mut gone: Vec<Arc<str>> = match update.whole {
            false => Vec::new(),
            true => {
                let named = update.resources.iter().map(|(name, _)| &**name);
                let named: HashSet<&str> = named.collect();
                let gone = |name: &&Arc<str>| !named.contains(&***name);
                self.kept.keys().filter(gone).cloned().collect()
            }
        };
        gone.extend(update.removed.into_iter().map(Arc::from));
        for name in gone {
            if self.kept.remove(&name).is_some() {
                touched.names.push(name);
            }
        }
        for (name, bytes) in update.resources {
            let lazy = lazy(&name);
            self.keep(&name, &bytes, stream, lazy, &mut touched);
        }
        touched
    }

    fn keep(
        &mut self,
        name: &str,
        bytes: &[u8],
        stream: Stream,
        lazy: bool,
        touched: &mut Touched,
    ) {
        if let Some(kept) = self.kept.get_mut(name)
            && *kept.bytes == *bytes
        {
            kept.heard = stream;
            return;
        }
        let value = OnceCell::new();
        if !lazy {
            match (self.decode)(bytes) {
                Err(Unfit::Undecodable(why)) => {
                    return touched.refused.push((name.to_owned(), why));
                }
                decoded => _ = value.set(decoded),
            }
        }
        let name: Arc<str> = name.into();
        touched.names.push(Arc::clone(&name));
        let kept = Kept {
            bytes: bytes.into(),
            value,
            heard: stream,
        };
        self.kept.insert(name, kept);
    }

    /// Whether there was ever an answer.
    pub(super) fn is_heard(&self) -> bool {
        self.heard.is_some()
    }

    /// Whether this stream answered.
    pub(super) fn is_heard_on(&self, stream: Stream) -> bool {
        self.heard == Some(stream)
    }

    /// Whether this stream said what there is of this name.
    pub(super) fn is_told_on(&self, name: &str, stream: Stream) -> bool {
        self.kept.get(name).is_some_and(|kept| kept.heard == stream)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.kept.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.kept.keys()
    }

    /// The value of this name, or why it is of no use.
    pub(super) fn get(&self, name: &str) -> Option<Result<&T, &Unfit>> {
        let kept = self.kept.get(name)?;
        let value = kept.value.get_or_init(|| (self.decode)(&kept.bytes));
        Some(value.as_ref())
    }

    /// The same, where it is of use.
    pub(super) fn good(&self, name: &str) -> Option<&T> {
        self.get(name)?.ok()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.kept.retain(|name, _| keep(name));
    }
}
