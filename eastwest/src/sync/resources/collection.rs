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

/// A resource as a stream says it.
struct Said<'b> {
    bytes: &'b [u8],
    digest: Digest,
    stream: Stream,
}

/// A resource's content.
#[derive(Debug)]
enum Value<T> {
    /// Apart, because most resources of an istiod are names only.
    Decoded(Box<Result<T, Unfit>>),
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
    /// once, so that it can be refused. Names that are `known` are kept once.
    pub(super) fn apply(
        &mut self,
        update: Update,
        stream: Stream,
        lazy: impl Fn(&str) -> bool,
        known: impl Fn(&str) -> Option<Arc<str>>,
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
            let said = Said {
                digest: self.digester.digest(&bytes),
                bytes: &bytes,
                stream,
            };
            if !self.is_as_it_was(&name, &said, &mut touched) {
                let lazy = lazy(&name);
                let name = known(&name).unwrap_or_else(|| name.into());
                self.keep(name, &said, lazy, &mut touched);
            }
        }
        touched
    }

    fn is_as_it_was(&mut self, name: &str, said: &Said<'_>, touched: &mut Touched) -> bool {
        let kept = self.kept.get_mut(name);
        let Some(kept) = kept.filter(|kept| kept.digest == said.digest) else {
            return false;
        };
        kept.heard = said.stream;
        if matches!(kept.value, Value::LetGo) {
            kept.value = Value::Raw(said.bytes.into());
            touched.names.push(name.into());
        }
        true
    }

    fn keep(&mut self, name: Arc<str>, said: &Said<'_>, lazy: bool, touched: &mut Touched) {
        let value = match lazy {
            true => Value::Raw(said.bytes.into()),
            false => match (self.decode)(said.bytes) {
                Err(Unfit::Undecodable(why)) => {
                    return touched.refused.push((name.to_string(), why));
                }
                decoded => Value::Decoded(Box::new(decoded)),
            },
        };
        touched.names.push(Arc::clone(&name));
        let kept = Kept {
            digest: said.digest,
            value,
            heard: said.stream,
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

    /// A name as it is kept.
    pub(super) fn name(&self, name: &str) -> Option<&Arc<str>> {
        self.kept.get_key_value(name).map(|(name, _)| name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.kept.keys()
    }

    /// The value of this name, or why it is of no use; none while it is not decoded.
    pub(super) fn get(&self, name: &str) -> Option<Result<&T, &Unfit>> {
        match &self.kept.get(name)?.value {
            Value::Decoded(value) => Some(value.as_ref().as_ref()),
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
                (Value::Raw(bytes), true) => {
                    kept.value = Value::Decoded(Box::new((self.decode)(bytes)));
                }
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
