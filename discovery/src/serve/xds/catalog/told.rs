//! One service as the viewers of one role are told of it.

use crate::{
    horizon::{Role, Seen, Withheld},
    serve::xds::resource::{Resource, assignment, gateway_cluster, sidecar_cluster},
};

/// Encoded resources of a service, one cluster and one assignment of the same name for
/// each port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) ports: Vec<u16>,
    pub(super) clusters: Vec<Resource>,
    pub(super) assignments: Vec<Resource>,
    pub(super) withheld: Withheld,
}

impl Told {
    /// Encodes what is seen of a service.
    pub(super) fn encode(role: Role, seen: &Seen, domain: &str) -> Self {
        let mut told = Self::default();
        for port in &seen.ports {
            let number = port.port.number;
            let cluster = match role {
                Role::Sidecar => sidecar_cluster(&seen.key, number, domain, &seen.identities),
                Role::Gateway => gateway_cluster(&seen.key, number, domain),
            };
            let assignment = assignment(cluster.name(), &seen.key.namespace, &port.groups);
            told.ports.push(number);
            told.assignments.push(assignment.follows(&cluster));
            told.clusters.push(cluster);
            told.withheld.merge(&port.withheld);
        }
        told
    }

    /// Whether one of its clusters has the name of `resource`.
    pub(super) fn names(&self, resource: &Resource) -> bool {
        self.clusters.iter().any(|c| c.name() == resource.name())
    }
}
