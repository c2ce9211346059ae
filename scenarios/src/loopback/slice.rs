//! A cluster's slice of the loopback network: its addresses, as pods and nodes have them.
//!
//! ```text
//! 127.N.0.1        API server          127.N.1.P   pod P, as its network knows it
//! 127.N.0.3        discovery           127.N.2.P   what is 127.0.0.1 inside pod P
//! 127.N.0.5        gateway             127.(N+100).F.1   N's API server, as cluster F reaches it
//!                                      127.(N+100).F.3   N's discovery, likewise
//!                                      127.(N+100).0.5   N's gateway, as all others reach it
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::topology::{API_PORT, MESH_PORT, XDS_PORT};

/// The slice of one cluster, by its number: 1 to 99.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice(u8);

impl Slice {
    /// The slice of this number.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (1..ELSEWHERE).contains(&number).then_some(Self(number))
    }

    /// Where the API server listens.
    #[must_use]
    pub fn api(self) -> SocketAddr {
        self.at(0, 1, API_PORT)
    }

    /// Where discovery listens for its own proxies.
    #[must_use]
    pub fn xds(self) -> SocketAddr {
        self.at(0, 3, XDS_PORT)
    }

    /// Where the gateway stands.
    #[must_use]
    pub fn gateway(self) -> SocketAddr {
        self.at(0, 5, MESH_PORT)
    }

    /// A pod's address in its network; pods are numbered from 1.
    #[must_use]
    pub fn pod(self, number: u8) -> IpAddr {
        self.at(1, number, 0).ip()
    }

    /// The address that is 127.0.0.1 inside the pod at `address` of this slice.
    #[must_use]
    pub fn inside(self, address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(v4) if v4.octets()[..3] == [127, self.0, 1] => {
                Some(self.at(2, v4.octets()[3], 0).ip())
            }
            _ => None,
        }
    }

    /// All that stands in this cluster.
    #[must_use]
    pub fn range(self) -> String {
        format!("127.{}.0.0/16", self.0)
    }

    /// The API server, as the cluster of slice `from` reaches it.
    #[must_use]
    pub fn api_from(self, from: Self) -> SocketAddr {
        self.outside(from.0, 1, API_PORT)
    }

    /// Discovery, as the proxies of the cluster of slice `from` reach it.
    #[must_use]
    pub fn xds_from(self, from: Self) -> SocketAddr {
        self.outside(from.0, 3, XDS_PORT)
    }

    /// The gateway, as all other clusters reach it.
    #[must_use]
    pub fn gateway_from_outside(self) -> SocketAddr {
        self.outside(0, 5, MESH_PORT)
    }

    fn at(self, third: u8, last: u8, port: u16) -> SocketAddr {
        (Ipv4Addr::new(127, self.0, third, last), port).into()
    }

    fn outside(self, third: u8, last: u8, port: u16) -> SocketAddr {
        (Ipv4Addr::new(127, self.0 + ELSEWHERE, third, last), port).into()
    }
}

/// What is added to a number for how others reach the cluster.
const ELSEWHERE: u8 = 100;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_address_is_anothers() {
        let slices = [1, 2, 99].map(|number| Slice::new(number).unwrap());
        let mut all = Vec::new();
        for slice in slices {
            all.extend([
                slice.api(),
                slice.xds(),
                slice.gateway(),
                slice.gateway_from_outside(),
            ]);
            for pod in [1, 2, 254] {
                let inside = slice.inside(slice.pod(pod)).unwrap();
                all.extend([
                    SocketAddr::new(slice.pod(pod), 0),
                    SocketAddr::new(inside, 0),
                ]);
            }
            all.extend(slices.iter().map(|from| slice.api_from(*from)));
            all.extend(slices.iter().map(|from| slice.xds_from(*from)));
        }
        let distinct: BTreeSet<IpAddr> = all.iter().map(SocketAddr::ip).collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|address| address.ip().is_loopback()));
    }

    #[test]
    fn a_slice_has_its_limits() {
        assert!(Slice::new(0).is_none() && Slice::new(100).is_none());
        let slice = Slice::new(1).unwrap();
        assert_eq!(slice.inside("127.2.1.7".parse().unwrap()), None);
        assert_eq!(slice.inside("127.1.0.5".parse().unwrap()), None);
    }
}
