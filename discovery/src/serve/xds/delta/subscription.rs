//! What a stream asked for of one kind, and how far it is.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;

use super::Heard;
use crate::serve::xds::{
    offer::Offer,
    resource::{Kind, Resource},
    viewer::Refusal,
};

/// The subscription of one kind.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    /// Whether anything was ever asked.
    known: bool,
    /// Whether everything is asked for.
    wildcard: bool,
    /// What is asked for by name.
    pub(super) names: BTreeSet<Arc<str>>,
    /// Names whose resources at the viewer may not be the ones that it is told of now.
    pub(super) due: BTreeSet<Arc<str>>,
    /// Whether the first answer is still owed: it is sent also when it is empty.
    pub(super) unanswered: bool,
    /// The response that is on its way.
    in_flight: Option<Flight>,
    /// Parts of refused responses, to be sent again each by itself, the last one first.
    parts: Vec<BTreeSet<Arc<str>>>,
    /// What was refused by itself, and not taken since.
    refused: BTreeSet<Arc<str>>,
    /// Refusals since something was taken.
    in_a_row: u32,
    progress: Counts,
}

/// A response on its way.
#[derive(Debug)]
struct Flight {
    number: u64,
    resources: BTreeSet<Arc<str>>,
    removed: BTreeSet<Arc<str>>,
}

/// What was sent and answered.
#[derive(Debug, Default)]
struct Counts {
    sent: u64,
    acked: u64,
    nacks: u64,
    last_nack: Option<Arc<str>>,
    resources: u64,
    removed: u64,
}

/// How far a viewer is with one kind.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Whether it asks for everything of this kind.
    pub wildcard: bool,
    /// How many names it asks for.
    pub names: usize,
    /// How many names wait to be sent.
    pub due: usize,
    /// The nonce of the last response; empty before the first.
    pub sent: String,
    /// The nonce of the last response that was taken; empty before the first.
    pub acked: String,
    /// How many resources were sent.
    pub resources: u64,
    /// How many removals were sent.
    pub removed: u64,
    /// How many responses were refused.
    pub nacks: u64,
    /// Why the last of them was refused.
    pub last_nack: Option<Arc<str>>,
    /// Names whose newest resources it refused, the first few.
    pub refused: Vec<Arc<str>>,
}

impl Subscription {
    /// Takes in what a request subscribes to and no longer wants.
    pub(super) fn ask(
        &mut self,
        kind: Kind,
        request: &DeltaDiscoveryRequest,
        offer: &Offer,
        max_names: usize,
    ) -> Result<(), Refusal> {
        for name in &request.resource_names_unsubscribe {
            self.forget(name);
        }
        let names = &request.resource_names_subscribe;
        let first = !self.known && request.response_nonce.is_empty();
        let bare = names.is_empty() && matches!(kind, Kind::Cluster | Kind::Listener);
        let nothing = HashMap::new();
        let versions = if first {
            &request.initial_resource_versions
        } else {
            &nothing
        };
        if (first && bare) || names.iter().any(|name| name == "*") {
            self.ask_for_all(kind, offer, versions);
        }
        for name in names.iter().filter(|name| *name != "*") {
            if name.len() > MAX_NAME {
                return Err(Refusal::LongName(name.len()));
            }
            let name = Arc::from(name.as_str());
            self.unanswered |= first;
            if !is_current(offer.get(kind, &name), versions, &name) {
                self.due.insert(Arc::clone(&name));
            }
            self.names.insert(name);
        }
        self.known |= first;
        if self.names.len() > max_names {
            return Err(Refusal::TooManyNames(max_names));
        }
        Ok(())
    }

    /// Takes in the answer to a response.
    pub(super) fn answer(&mut self, kind: Kind, number: u64, error: Option<String>) -> Heard {
        let ours = |flight: &mut Flight| flight.number == number;
        let Some(flight) = self.in_flight.take_if(ours) else {
            return Heard::Stale(kind);
        };
        let mut names = flight.resources;
        names.extend(flight.removed);
        let Some(mut text) = error else {
            self.progress.acked = number;
            self.in_a_row = 0;
            self.refused.retain(|name| !names.contains(name));
            return Heard::Ack(kind);
        };
        self.search(names);
        let end = (0..=MAX_NACK).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        self.progress.nacks += 1;
        self.progress.last_nack = Some(text.as_str().into());
        Heard::Nack(kind, text)
    }

    /// Who refuses a response may have taken none of it: Envoy takes the good clusters of a
    /// refused response, but of assignments those only that it came to before the bad one.
    /// So each half is sent again, until what is refused is found, and the rest taken. A
    /// viewer that refuses everything is left alone.
    fn search(&mut self, mut names: BTreeSet<Arc<str>>) {
        self.in_a_row += 1;
        if self.in_a_row > MAX_IN_A_ROW {
            self.parts.clear();
        } else if let Some(middle) = names.iter().nth(names.len() / 2).cloned()
            && names.len() > 1
        {
            let second = names.split_off(&middle);
            self.parts.extend([second, names]);
        } else {
            self.refused.append(&mut names);
        }
    }

    /// Remembers that these names changed, those of them that are asked for.
    pub(super) fn owe(&mut self, names: impl IntoIterator<Item = Arc<str>>) {
        let names = names.into_iter();
        let asked = names.filter(|name| self.wildcard || self.names.contains(name));
        self.due.extend(asked);
    }

    /// Whether something may be sent.
    pub(super) fn is_waiting(&self) -> bool {
        let something = self.unanswered || !self.due.is_empty() || !self.parts.is_empty();
        self.in_flight.is_none() && something
    }

    /// Whether a resource of this name is on its way.
    pub(super) fn carries(&self, name: &Arc<str>) -> bool {
        let flight = self.in_flight.as_ref();
        flight.is_some_and(|flight| flight.resources.contains(name))
    }

    /// The next part of a refused response, as far as it is still asked for.
    pub(super) fn next_part(&mut self) -> Option<BTreeSet<Arc<str>>> {
        let mut part = self.parts.pop()?;
        part.retain(|name| self.wildcard || self.names.contains(name));
        Some(part)
    }

    /// Remembers a response that is on its way.
    pub(super) fn sent(&mut self, number: u64, resources: &[Resource], removed: &[Arc<str>]) {
        let flight = Flight {
            number,
            resources: resources.iter().map(Resource::name).cloned().collect(),
            removed: removed.iter().cloned().collect(),
        };
        for name in flight.resources.iter().chain(&flight.removed) {
            self.due.remove(name);
        }
        self.unanswered = false;
        self.in_flight = Some(flight);
        self.progress.sent = number;
        self.progress.resources += resources.len() as u64;
        self.progress.removed += removed.len() as u64;
    }

    /// How far the viewer is; `None` if it asked for nothing.
    pub(super) fn progress(&self, id: &str) -> Option<Progress> {
        let nonce = |number: u64| match number {
            0 => String::new(),
            _ => format!("{id}-{number}"),
        };
        self.known.then(|| Progress {
            wildcard: self.wildcard,
            names: self.names.len(),
            due: self.due.len(),
            sent: nonce(self.progress.sent),
            acked: nonce(self.progress.acked),
            resources: self.progress.resources,
            removed: self.progress.removed,
            nacks: self.progress.nacks,
            last_nack: self.progress.last_nack.clone(),
            refused: self.refused.iter().take(SHOWN).cloned().collect(),
        })
    }

    /// Everything is asked for; the viewer says that it has these versions.
    fn ask_for_all(&mut self, kind: Kind, offer: &Offer, versions: &HashMap<String, String>) {
        self.wildcard = true;
        self.unanswered = true;
        let missing =
            (offer.names(kind)).filter(|name| !is_current(offer.get(kind, name), versions, name));
        self.due.extend(missing.map(Arc::clone));
        let gone = (versions.keys().map(|name| Arc::from(name.as_str())))
            .filter(|name| offer.get(kind, name).is_none());
        self.due.extend(gone);
    }

    fn forget(&mut self, name: &str) {
        if name == "*" {
            self.wildcard = false;
            self.due.retain(|name| self.names.contains(name));
            self.refused.retain(|name| self.names.contains(name));
            return;
        }
        self.names.remove(name);
        if !self.wildcard {
            self.due.remove(name);
            self.refused.remove(name);
        }
    }
}

/// Whether the viewer has the resource as it is now.
fn is_current(
    resource: Option<&Resource>,
    versions: &HashMap<String, String>,
    name: &Arc<str>,
) -> bool {
    let has = versions.get(&**name);
    has.is_some_and(|has| resource.is_some_and(|resource| resource.version() == *has))
}

/// Longer than any name of ours: `outbound_.65535_._.` and a host of 253 bytes.
const MAX_NAME: usize = 1024;

/// How many refused names are shown.
const SHOWN: usize = 16;

/// Refusals in a row that a search may lead to: one name among 65,536 is found after 17,
/// and some of its neighbours with it.
const MAX_IN_A_ROW: u32 = 32;

/// How much of a refusal's text is kept.
const MAX_NACK: usize = 2048;
