//! Whom the limits per source count together.

use std::net::{IpAddr, Ipv6Addr};

use super::{Occupancy, count::Count};

/// One source, while it has a connection.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) address: IpAddr,
    pub(super) connections: Count,
    pub(super) waiting: Count,
}

impl Source {
    pub(super) fn new(address: IpAddr) -> Self {
        Self {
            address,
            connections: Count::default(),
            waiting: Count::default(),
        }
    }

    pub(super) fn occupancy(&self) -> Occupancy {
        Occupancy {
            source: self.address,
            connections: self.connections.get(),
            waiting_hellos: self.waiting.get(),
        }
    }
}

/// The source of a peer: one IPv4 address however it is written; of IPv6 the /64, all of
/// which one machine can have.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}
