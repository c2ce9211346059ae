//! The ways into each network, as all clusters together tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::model::{ClusterId, Mesh, Network};

/// Gateway addresses by network, and by network and cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gateways(BTreeMap<Network, Entrances>);

/// The ways into one network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entrances {
    all: Vec<(IpAddr, u16)>,
    by_cluster: BTreeMap<ClusterId, Vec<(IpAddr, u16)>>,
}

impl Gateways {
    /// All gateways that the clusters of `mesh` tell of.
    #[must_use]
    pub fn of(mesh: &Mesh) -> Self {
        let mut networks = BTreeMap::<Network, Entrances>::new();
        for (id, cluster) in &mesh.clusters {
            for gateway in &cluster.gateways {
                let entrances = networks.entry(gateway.network.clone()).or_default();
                let address = (gateway.address, gateway.port);
                entrances.all.push(address);
                let own = entrances.by_cluster.entry(id.clone()).or_default();
                own.push(address);
            }
        }
        for entrances in networks.values_mut() {
            entrances.sort();
        }
        Self(networks)
    }

    /// The addresses that lead to an endpoint of `cluster` in `network`: those that this
    /// cluster itself names, else all of that network; sorted, none twice.
    #[must_use]
    pub fn into_network(&self, network: &Network, cluster: &ClusterId) -> &[(IpAddr, u16)] {
        let Some(entrances) = self.0.get(network) else {
            return &[];
        };
        (entrances.by_cluster.get(cluster)).unwrap_or(&entrances.all)
    }
}

impl Entrances {
    fn sort(&mut self) {
        for list in self.by_cluster.values_mut().chain([&mut self.all]) {
            let unique: BTreeSet<_> = list.drain(..).collect();
            list.extend(unique);
        }
    }
}
