//! One client's stream of the delta protocol, without a socket: what it asked for, what it
//! has, and what it is to be told.

use std::collections::{HashMap, HashSet};

use envoy_types::pb::envoy::{
    extensions::transport_sockets::tls::v3::Secret,
    service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
};
use prost::Name as _;

use super::secrets::Secrets;

/// What one stream knows of its client.
#[derive(Default)]
pub(super) struct Subscription {
    names: HashSet<String>,
    everything: bool,
    opened: bool,
    /// By name, the version the client was sent or said it has.
    sent: HashMap<String, String>,
    nonce: u64,
}

/// What a request led to.
pub(super) enum Heard {
    /// The client wants to be told this.
    Answer(DeltaDiscoveryResponse),
    /// The client could not use what it was told.
    Rejected(String),
    /// An acknowledgement, or nothing new.
    Nothing,
    /// A request for another type of resource.
    Misplaced(String),
}

impl Subscription {
    /// Takes a request in.
    pub(super) fn hear(&mut self, request: DeltaDiscoveryRequest, secrets: &Secrets) -> Heard {
        if !request.type_url.is_empty() && request.type_url != Secret::type_url() {
            return Heard::Misplaced(request.type_url);
        }
        let first = !std::mem::replace(&mut self.opened, true);
        if first {
            // A stream that begins without names asks for everything (xDS, "wildcard").
            self.everything = request.resource_names_subscribe.is_empty();
            self.sent = request.initial_resource_versions;
        }
        for name in &request.resource_names_unsubscribe {
            self.names.remove(name);
            self.sent.remove(name);
            self.everything &= name != WILDCARD;
        }
        let mut removed = Vec::new();
        for name in request.resource_names_subscribe {
            if name == WILDCARD {
                self.everything = true;
            } else if secrets.all().any(|resource| resource.name == name) {
                // Who subscribes again wants to be sent again.
                if !first {
                    self.sent.remove(&name);
                }
                self.names.insert(name);
            } else {
                removed.push(name);
            }
        }
        if let Some(error) = request.error_detail {
            return Heard::Rejected(error.message);
        }
        self.answer(secrets, removed)
            .map_or(Heard::Nothing, Heard::Answer)
    }

    /// What the client is to be told when the secrets have changed.
    pub(super) fn changed(&mut self, secrets: &Secrets) -> Option<DeltaDiscoveryResponse> {
        self.answer(secrets, Vec::new())
    }

    fn answer(
        &mut self,
        secrets: &Secrets,
        removed_resources: Vec<String>,
    ) -> Option<DeltaDiscoveryResponse> {
        let wanted = |name: &String| self.everything || self.names.contains(name);
        let resources: Vec<_> = secrets
            .all()
            .filter(|r| wanted(&r.name) && self.sent.get(&r.name) != Some(&r.version))
            .cloned()
            .collect();
        if resources.is_empty() && removed_resources.is_empty() {
            return None;
        }
        for resource in &resources {
            let version = resource.version.clone();
            self.sent.insert(resource.name.clone(), version);
        }
        self.nonce += 1;
        Some(DeltaDiscoveryResponse {
            type_url: Secret::type_url(),
            resources,
            removed_resources,
            nonce: self.nonce.to_string(),
            ..DeltaDiscoveryResponse::default()
        })
    }
}

const WILDCARD: &str = "*";

#[cfg(test)]
mod tests;
