//! The chains of all listeners, and which of them lead to a cluster.
//!
//! A chain is known by a digest of its bytes: of a listener that comes again with one more, one is
//! decoded.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry::Vacant},
    sync::Arc,
};

use super::{
    Stream,
    collection::Collection,
    digest::{Digest, Digester},
};
use crate::{
    listener::ListenerSpec,
    route::Name,
    sync::{
        decode::{
            Unfit,
            chain::{Chain, Target},
            cluster::Cluster,
            listener::{Doors, Listener},
        },
        session::Update,
    },
};

/// The number of a chain; none is given twice.
pub(super) type Id = u64;

/// All listeners.
#[derive(Debug, Default)]
pub(super) struct Chains {
    heard: Option<Stream>,
    digester: Digester,
    listeners: HashMap<Arc<str>, Result<Shape, Unfit>>,
    entries: HashMap<Id, Entry>,
    users: HashMap<Arc<str>, Vec<Id>>,
    last: Id,
    updates: u64,
    /// The chains of a listener's name.
    names: HashMap<Arc<str>, HashMap<Arc<str>, Vec<Id>>>,
    /// Each list of protocols once; there are few.
    protocols: Vec<Arc<[Box<str>]>>,
}

/// A chain in its place.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) listener: Arc<str>,
    pub(super) chain: Chain,
    /// Whether another chain of the listener matches the same clients.
    pub(super) ambiguous: bool,
}

/// The chains of a listener.
#[derive(Debug)]
enum Shape {
    BySni {
        alpn: Arc<[Box<str>]>,
        clusters: HashMap<Arc<str>, Id>,
    },
    Chains {
        spec: ListenerSpec,
        chains: HashMap<Digest, Told>,
    },
}

/// A chain, and the update that named it last.
#[derive(Debug, Clone, Copy)]
struct Told {
    id: Id,
    update: u64,
}

/// What an update of listeners touched.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) changed: Vec<Id>,
    pub(super) refused: Vec<(String, String)>,
}

impl Chains {
    /// Takes an update of listeners in.
    pub(super) fn apply(
        &mut self,
        update: Update,
        stream: Stream,
        clusters: &Collection<Cluster>,
    ) -> Touched {
        self.heard = Some(stream);
        let mut touched = Touched::default();
        self.updates += 1;
        let named: BTreeSet<&str> = update.resources.iter().map(|(name, _)| &**name).collect();
        let gone = |name: &&Arc<str>| update.whole && !named.contains(&***name);
        let mut gone: Vec<Arc<str>> = self.listeners.keys().filter(gone).cloned().collect();
        gone.extend(update.removed.into_iter().map(Arc::from));
        for name in gone {
            let before = self.listeners.remove(&name);
            self.drop_shape(before, &mut touched);
        }
        for (name, bytes) in update.resources {
            let name: Arc<str> = name.into();
            let shape = match Listener::decode(&bytes) {
                Ok(listener) => self.listener(&name, listener, clusters, &mut touched),
                Err(unfit) => Err(unfit),
            };
            match shape {
                Err(Unfit::Undecodable(why)) => touched.refused.push((name.to_string(), why)),
                Err(unfit) => {
                    let before = self.listeners.insert(name, Err(unfit));
                    self.drop_shape(before, &mut touched);
                }
                Ok(shape) => _ = self.listeners.insert(name, Ok(shape)),
            }
        }
        touched
    }

    /// The next shape of a listener, with the chains that it had before where they are equal.
    fn listener(
        &mut self,
        name: &Arc<str>,
        listener: Listener<'_>,
        clusters: &Collection<Cluster>,
        touched: &mut Touched,
    ) -> Result<Shape, Unfit> {
        let (chains, address) = match (listener.doors, listener.address) {
            (Doors::BySni(alpn), _) => return Ok(self.by_sni(name, alpn, clusters, touched)),
            (Doors::Chains(chains), Some(address)) => (chains, address),
            (Doors::Chains(_), None) => {
                return Err(Unfit::NotUnderstood("no address".to_owned()));
            }
        };
        let fresh = self.renew(name, chains)?;
        let spec = ListenerSpec {
            name: Arc::clone(name),
            address,
        };
        let mut chains = match self.listeners.remove(name) {
            Some(Ok(Shape::Chains { chains, .. })) => chains,
            other => {
                self.drop_shape(other, touched);
                HashMap::new()
            }
        };
        let update = self.updates;
        let gone = chains.extract_if(|_, told| told.update != update);
        let gone: Vec<Id> = gone.map(|(_, told)| told.id).collect();
        for id in gone {
            self.remove(id, touched);
        }
        for (digest, chain) in fresh {
            if let Vacant(place) = chains.entry(digest) {
                let id = self.add(name, chain, clusters, touched);
                place.insert(Told { id, update });
            }
        }
        Ok(Shape::Chains { spec, chains })
    }

    /// Marks the chains that a listener has still, and decodes all others: what is refused
    /// leaves what was before.
    fn renew(&mut self, listener: &str, chains: Vec<&[u8]>) -> Result<Vec<(Digest, Chain)>, Unfit> {
        let mut known = match self.listeners.get_mut(listener) {
            Some(Ok(Shape::Chains { chains, .. })) => Some(chains),
            _ => None,
        };
        let mut fresh = Vec::new();
        for bytes in chains {
            let digest = self.digester.digest(bytes);
            match known.as_mut().and_then(|known| known.get_mut(&digest)) {
                Some(told) => told.update = self.updates,
                None => fresh.push((digest, Chain::decode(bytes)?)),
            }
        }
        Ok(fresh)
    }

    fn by_sni(
        &mut self,
        name: &Arc<str>,
        alpn: Arc<[Box<str>]>,
        clusters: &Collection<Cluster>,
        touched: &mut Touched,
    ) -> Shape {
        match self.listeners.remove(name) {
            Some(Ok(same @ Shape::BySni { .. })) if same.alpn() == Some(&alpn) => return same,
            before => self.drop_shape(before, touched),
        }
        let mut shape = Shape::BySni {
            alpn,
            clusters: HashMap::new(),
        };
        let all: Vec<Arc<str>> = clusters.names().cloned().collect();
        self.follow_shape(name, &mut shape, &all, clusters, touched);
        shape
    }

    /// Gives each of these clusters its chain in listeners that have one for every cluster,
    /// or takes it away.
    pub(super) fn follow(&mut self, names: &[Arc<str>], clusters: &Collection<Cluster>) -> Vec<Id> {
        let mut touched = Touched::default();
        let by_sni = |(name, shape): (&Arc<str>, &Result<Shape, Unfit>)| {
            matches!(shape, Ok(Shape::BySni { .. })).then(|| Arc::clone(name))
        };
        let listeners: Vec<Arc<str>> = self.listeners.iter().filter_map(by_sni).collect();
        for name in listeners {
            if let Some(Ok(mut shape)) = self.listeners.remove(&name) {
                self.follow_shape(&name, &mut shape, names, clusters, &mut touched);
                self.listeners.insert(name, Ok(shape));
            }
        }
        touched.changed
    }

    fn follow_shape(
        &mut self,
        listener: &Arc<str>,
        shape: &mut Shape,
        names: &[Arc<str>],
        clusters: &Collection<Cluster>,
        touched: &mut Touched,
    ) {
        let Shape::BySni {
            alpn,
            clusters: own,
        } = shape
        else {
            return;
        };
        for name in names {
            let understood = clusters.good(name).is_some();
            match (understood, own.get(name).copied()) {
                (true, None) => {
                    let id = self.add(listener, named(name, alpn), clusters, touched);
                    own.insert(Arc::clone(name), id);
                }
                (false, Some(id)) => {
                    own.remove(name);
                    self.remove(id, touched);
                }
                _ => {}
            }
        }
    }

    fn add(
        &mut self,
        listener: &Arc<str>,
        mut chain: Chain,
        clusters: &Collection<Cluster>,
        touched: &mut Touched,
    ) -> Id {
        self.share(&mut chain, clusters);
        self.last += 1;
        for target in &chain.targets {
            let users = self.users.entry(Arc::clone(&target.cluster)).or_default();
            users.push(self.last);
        }
        let names = chain.names.clone();
        let entry = Entry {
            listener: Arc::clone(listener),
            chain,
            ambiguous: false,
        };
        let id = self.last;
        self.entries.insert(id, entry);
        touched.changed.push(id);
        for name in names {
            let of_listener = self.names.entry(Arc::clone(listener)).or_default();
            of_listener.entry(Arc::clone(&name)).or_default().push(id);
            self.compare(listener, &name, touched);
        }
        id
    }

    /// Thousands of chains have the same protocols, and a name that is their cluster's.
    fn share(&mut self, chain: &mut Chain, clusters: &Collection<Cluster>) {
        for Target { cluster, .. } in &mut chain.targets {
            if let Some(known) = clusters.name(cluster) {
                *cluster = Arc::clone(known);
            }
        }
        if let Some(alpn) = &mut chain.alpn {
            match self.protocols.iter().find(|known| *known == alpn) {
                Some(known) => *alpn = Arc::clone(known),
                None => self.protocols.push(Arc::clone(alpn)),
            }
        }
        if let ([name], [Target { cluster, .. }]) = (&mut chain.names[..], &chain.targets[..])
            && *name == *cluster
        {
            *name = Arc::clone(cluster);
        }
    }

    fn remove(&mut self, id: Id, touched: &mut Touched) {
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        touched.changed.push(id);
        for target in &entry.chain.targets {
            forget(&mut self.users, &target.cluster, id);
        }
        for name in &entry.chain.names {
            if let Some(of_listener) = self.names.get_mut(&entry.listener) {
                forget(of_listener, name, id);
            }
            self.compare(&entry.listener, name, touched);
        }
    }

    fn drop_shape(&mut self, shape: Option<Result<Shape, Unfit>>, touched: &mut Touched) {
        let ids: Vec<Id> = match shape {
            Some(Ok(Shape::BySni { clusters, .. })) => clusters.into_values().collect(),
            Some(Ok(Shape::Chains { chains, .. })) => {
                chains.into_values().map(|told| told.id).collect()
            }
            Some(Err(_)) | None => return,
        };
        for id in ids {
            self.remove(id, touched);
        }
    }

    /// Chains of one name and a common protocol are ambiguous: which of them a client gets
    /// would be a guess.
    fn compare(&mut self, listener: &Arc<str>, name: &Arc<str>, touched: &mut Touched) {
        let same = self.names.get(listener).and_then(|names| names.get(name));
        let same = same.cloned().unwrap_or_default();
        for id in &same {
            let mut others = same.iter().filter(|other| *other != id);
            let ambiguous = others.any(|other| self.meet(*id, *other));
            if let Some(entry) = self.entries.get_mut(id)
                && entry.ambiguous != ambiguous
            {
                entry.ambiguous = ambiguous;
                touched.changed.push(*id);
            }
        }
    }

    fn meet(&self, one: Id, two: Id) -> bool {
        let alpn = |id| self.entries.get(&id).map(|entry| &entry.chain.alpn);
        match (alpn(one), alpn(two)) {
            (Some(Some(one)), Some(Some(two))) => one.iter().any(|p| two.contains(p)),
            (Some(None), Some(None)) => true,
            _ => false,
        }
    }

    pub(super) fn entry(&self, id: Id) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// The chains of a name.
    pub(super) fn named(&self, name: &Name) -> &[Id] {
        let of_listener = self.names.get(&name.listener);
        let ids = of_listener.and_then(|names| names.get(&name.sni));
        ids.map_or(&[], Vec::as_slice)
    }

    /// The chains that lead to a cluster.
    pub(super) fn users(&self, cluster: &str) -> &[Id] {
        self.users.get(cluster).map_or(&[], Vec::as_slice)
    }

    /// The clusters that a chain leads to.
    pub(super) fn used(&self) -> impl Iterator<Item = &Arc<str>> {
        self.users.keys()
    }

    pub(super) fn is_heard(&self) -> bool {
        self.heard.is_some()
    }

    pub(super) fn is_heard_on(&self, stream: Stream) -> bool {
        self.heard == Some(stream)
    }

    /// The listeners' names.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.listeners.keys()
    }

    /// Where to listen.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &ListenerSpec> {
        self.listeners.values().filter_map(|shape| match shape {
            Ok(Shape::Chains { spec, .. }) => Some(spec),
            _ => None,
        })
    }

    /// Whether a listener has a chain for every cluster that is understood.
    pub(super) fn any_cluster(&self) -> bool {
        let mut shapes = self.listeners.values();
        shapes.any(|shape| matches!(shape, Ok(Shape::BySni { .. })))
    }

    /// Listeners that are not understood.
    pub(super) fn unfit(&self) -> impl Iterator<Item = (&Arc<str>, &Unfit)> {
        let all = self.listeners.iter();
        all.filter_map(|(name, shape)| Some((name, shape.as_ref().err()?)))
    }
}

/// Takes an id from the list of a name.
fn forget(lists: &mut HashMap<Arc<str>, Vec<Id>>, name: &Arc<str>, id: Id) {
    if let Some(list) = lists.get_mut(name) {
        list.retain(|own| *own != id);
        if list.is_empty() {
            lists.remove(name);
        }
    }
}

impl Shape {
    fn alpn(&self) -> Option<&Arc<[Box<str>]>> {
        match self {
            Self::BySni { alpn, .. } => Some(alpn),
            Self::Chains { .. } => None,
        }
    }
}

/// The chain of a cluster that is named by its server name.
fn named(cluster: &Arc<str>, alpn: &Arc<[Box<str>]>) -> Chain {
    let name = match cluster.bytes().any(|b| b.is_ascii_uppercase()) {
        true => cluster.to_ascii_lowercase().into(),
        false => Arc::clone(cluster),
    };
    Chain {
        names: vec![name],
        alpn: Some(Arc::clone(alpn)),
        targets: vec![Target {
            cluster: Arc::clone(cluster),
            weight: 1,
        }],
        idle_timeout: None,
        max_duration: None,
        by_source: false,
        flaw: None,
    }
}
