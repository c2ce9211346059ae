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
mod tests {
    use super::*;

    fn policy(ranges: &[&str], loopback: bool) -> Policy {
        let own_ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
        let settings = config::Import {
            own_ranges: Some(own_ranges),
            allow_loopback: loopback,
        };
        Policy {
            network: Some("n1".into()),
            ..Policy::of(&settings, None)
        }
    }

    fn dialled(policy: &Policy, address: &str) -> Result<(), Refused> {
        policy.dialled(address.parse().unwrap())
    }

    #[test]
    fn no_peer_stands_in_our_own_ranges() {
        let policy = policy(&["10.10.0.0/24", "10.10.1.0/24", "fd10::/64"], false);
        for (address, refused) in [
            ("10.10.0.7", true),
            ("10.10.1.255", true),
            ("10.10.2.0", false),
            ("::ffff:10.10.0.7", true),
            ("fd10::7", true),
            ("fd11::7", false),
        ] {
            let expected = if refused {
                Err(Refused::OwnRange)
            } else {
                Ok(())
            };
            assert_eq!(dialled(&policy, address), expected, "{address}");
        }
    }

    #[test]
    fn no_peer_stands_where_no_machine_stands() {
        for address in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "0.1.2.3",
            "169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "::ffff:127.0.0.1",
        ] {
            assert_eq!(
                dialled(&policy(&[], false), address),
                Err(Refused::Nowhere),
                "{address}"
            );
        }
        let on_one_machine = policy(&["127.1.0.0/16"], true);
        assert_eq!(dialled(&on_one_machine, "127.2.0.1"), Ok(()));
        assert_eq!(
            dialled(&on_one_machine, "127.1.0.1"),
            Err(Refused::OwnRange)
        );
        assert_eq!(
            dialled(&on_one_machine, "169.254.169.254"),
            Err(Refused::Nowhere)
        );
    }

    #[test]
    fn pods_behind_a_gateway_may_overlap_with_ours() {
        let policy = policy(&["10.10.0.0/24"], false);
        let pod = |network: Option<&str>| {
            let network = network.map(Network::from);
            policy.pod("10.10.0.7".parse().unwrap(), network.as_ref())
        };
        assert_eq!(pod(Some("n2")), Ok(()));
        assert_eq!(pod(Some("n1")), Err(Refused::OwnRange));
        // Reachable from everywhere, so dialled as it is.
        assert_eq!(pod(None), Err(Refused::OwnRange));
    }

    #[test]
    fn the_ranges_are_those_that_were_set_or_else_of_the_nodes() {
        let own = Cluster {
            id: "c1".into(),
            network: Some("n1".into()),
            trust_domain: "cluster.local".parse().unwrap(),
            gateways: [].into(),
            pod_ranges: vec!["10.10.0.0/24".parse().unwrap()],
        };
        let of_nodes = Policy::of(&config::Import::default(), Some(&own));
        assert_eq!(dialled(&of_nodes, "10.10.0.7"), Err(Refused::OwnRange));
        let settings = config::Import {
            own_ranges: Some(Vec::new()),
            allow_loopback: false,
        };
        assert_eq!(
            dialled(&Policy::of(&settings, Some(&own)), "10.10.0.7"),
            Ok(())
        );
    }
}
