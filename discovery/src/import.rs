//! What other clusters may bring into ours. Pure.
//!
//! Whoever writes to a peer's API server decides which addresses our sidecars dial. None of
//! them may lead back to us: an address that would be dialled as it is (a gateway's, or a
//! pod's in our own network) is refused in the own cluster's ranges and wherever no peer can
//! stand. Pods behind a peer's gateway may have any address: it is never dialled from here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::{
    config,
    model::{Cluster, Network},
};

/// What the own cluster lets in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    network: Option<Network>,
    ranges: Vec<IpNet>,
    loopback: bool,
}

/// Why an address is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// In the own cluster's ranges.
    #[error(
        "it is in our own cluster's pod or service ranges; set import.ownRanges if these are not ours"
    )]
    OwnRange,
    /// No address of another machine.
    #[error("it is loopback, link-local, a metadata service or no address of one machine")]
    Nowhere,
}

impl Policy {
    /// The policy that the settings make for the own cluster, as far as that is known.
    pub(crate) fn of(settings: &config::Import, own: Option<&Cluster>) -> Self {
        let of_nodes = || own.map(|own| own.pod_ranges.clone());
        let ranges = settings.own_ranges.clone().or_else(of_nodes);
        Self {
            network: own.and_then(|own| own.network.clone()),
            ranges: IpNet::aggregate(&ranges.unwrap_or_default()),
            loopback: settings.allow_loopback,
        }
    }

    /// Whether a peer's pod at `address` of `network` is let in.
    pub(crate) fn pod(&self, address: IpAddr, network: Option<&Network>) -> Result<(), Refused> {
        match (&self.network, network) {
            (Some(here), Some(there)) if here != there => Ok(()),
            _ => self.dialled(address),
        }
    }

    /// Whether an address that would be dialled as it is is let in.
    pub(crate) fn dialled(&self, address: IpAddr) -> Result<(), Refused> {
        let address = address.to_canonical();
        let is_own = |range: &IpNet| range.contains(&address);
        if is_nowhere(address) || (address.is_loopback() && !self.loopback) {
            Err(Refused::Nowhere)
        } else if self.ranges.iter().any(is_own) {
            Err(Refused::OwnRange)
        } else {
            Ok(())
        }
    }
}

fn is_nowhere(address: IpAddr) -> bool {
    let is_special = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == Ipv4Addr::BROADCAST || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == METADATA_V6,
    };
    is_special || address.is_unspecified() || address.is_multicast()
}

/// The metadata service of AWS over IPv6; that of IPv4 is link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

#[cfg(test)]
mod tests;
