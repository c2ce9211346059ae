//! The resources of one kind, compared by a digest of their bytes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Stream,
    digest::{Digest, Digester},
};
use crate::sync::{decode::Unfit, session::Update};

/// What was said and not taken back, by name.
#[derive(Debug)]
pub(super) struct Collection<T> {
    decode: fn(&[u8]) -> Result<T, Unfit>,
    digester: Digester,
    /// The stream that answered last; none before the first answer.
    heard: Option<Stream>,
    kept: HashMap<Arc<str>, Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    digest: Digest,
    value: Value<T>,
    heard: Stream,
}

/// A resource's content.
#[derive(Debug)]
enum Value<T> {
    Decoded(Result<T, Unfit>),
    /// Bytes that nobody needed yet.
    Raw(Box<[u8]>),
    /// Bytes that nobody needed and that were let go: the name is all that is left.
    LetGo,
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
            digester: Digester::default(),
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
        let digest = self.digester.digest(bytes);
        if let Some(kept) = self.kept.get_mut(name)
            && kept.digest == digest
        {
            kept.heard = stream;
            if matches!(kept.value, Value::LetGo) {
                kept.value = Value::Raw(bytes.into());
                touched.names.push(name.into());
            }
            return;
        }
        let value = match lazy {
            true => Value::Raw(bytes.into()),
            false => match (self.decode)(bytes) {
                Err(Unfit::Undecodable(why)) => {
                    return touched.refused.push((name.to_owned(), why));
                }
                decoded => Value::Decoded(decoded),
            },
        };
        let name: Arc<str> = name.into();
        touched.names.push(Arc::clone(&name));
        let kept = Kept {
            digest,
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

    /// The value of this name, or why it is of no use; none while it is not decoded.
    pub(super) fn get(&self, name: &str) -> Option<Result<&T, &Unfit>> {
        match &self.kept.get(name)?.value {
            Value::Decoded(value) => Some(value.as_ref()),
            Value::Raw(_) | Value::LetGo => None,
        }
    }

    /// The same, where it is of use.
    pub(super) fn good(&self, name: &str) -> Option<&T> {
        self.get(name)?.ok()
    }

    /// Decodes what is needed from now on, and lets go of the bytes of all others. Says
    /// whether there is any whose bytes were let go before.
    pub(super) fn need(&mut self, needed: impl Fn(&str) -> bool) -> bool {
        let mut missing = false;
        for (name, kept) in &mut self.kept {
            match (&kept.value, needed(name)) {
                (Value::Decoded(_), _) | (Value::LetGo, false) => {}
                (Value::Raw(bytes), true) => kept.value = Value::Decoded((self.decode)(bytes)),
                (Value::Raw(_), false) => kept.value = Value::LetGo,
                (Value::LetGo, true) => missing = true,
            }
        }
        missing
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.kept.retain(|name, _| keep(name));
    }
}
