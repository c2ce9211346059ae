//! Which addresses may be dialled, whatever the control plane says.
//!
//! A gateway that dials what it is told would be a way into its own node: to its debug
//! port on loopback, to the cloud's metadata service, to itself for ever. Never lifted:
//! link-local (with metadata), multicast, unspecified, and the gateway's own address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::config::{Config, Dial};

/// The rule.
#[derive(Debug, Clone)]
pub struct Permit {
    loopback: bool,
    ranges: Vec<IpNet>,
    own: SocketAddr,
}

/// Why an address is not dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// A loopback address.
    #[error("loopback: set dial.allowLoopback in a world on one machine")]
    Loopback,
    /// A link-local address, or a cloud's metadata service.
    #[error("link-local or metadata: never dialled")]
    LinkLocal,
    /// No address of one machine.
    #[error("unspecified, multicast or broadcast, or port 0: never dialled")]
    NoHost,
    /// The gateway's own mesh port.
    #[error("the gateway itself: the control plane does not know this gateway's network")]
    Own,
    /// Not within `dial.allow`.
    #[error("not within dial.allow")]
    Unlisted,
}

impl Permit {
    /// The rule that a configuration makes, for a gateway that listens on `mesh_port`.
    #[must_use]
    pub fn new(config: &Config, mesh_port: u16) -> Self {
        let Dial {
            allow_loopback,
            allow,
            ..
        } = &config.dial;
        Self {
            loopback: *allow_loopback,
            ranges: allow.clone(),
            own: SocketAddr::new(config.node.address.to_canonical(), mesh_port),
        }
    }

    /// Whether the address may be dialled.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, address: SocketAddr) -> Result<(), Forbidden> {
        let ip = address.ip().to_canonical();
        if is_no_host(ip) || address.port() == 0 {
            return Err(Forbidden::NoHost);
        }
        if is_link_local(ip) {
            return Err(Forbidden::LinkLocal);
        }
        if SocketAddr::new(ip, address.port()) == self.own {
            return Err(Forbidden::Own);
        }
        if ip.is_loopback() {
            return self.loopback.then_some(()).ok_or(Forbidden::Loopback);
        }
        let listed = self.ranges.is_empty() || self.ranges.iter().any(|range| range.contains(&ip));
        listed.then_some(()).ok_or(Forbidden::Unlisted)
    }
}

fn is_no_host(ip: IpAddr) -> bool {
    let this_network = matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 0);
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    ip.is_unspecified() || ip.is_multicast() || this_network || broadcast
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6 == METADATA_V6,
    }
}

/// The metadata service of AWS over IPv6; that of IPv4 is link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(allow_loopback: bool, allow: &[&str]) -> Permit {
        Permit {
            loopback: allow_loopback,
            ranges: allow.iter().map(|range| range.parse().unwrap()).collect(),
            own: "10.10.0.5:15443".parse().unwrap(),
        }
    }

    fn check(permit: &Permit, address: &str) -> Result<(), Forbidden> {
        permit.check(address.parse().unwrap())
    }

    #[test]
    fn without_a_list_all_but_special_addresses_are_dialled() {
        let permit = permit(false, &[]);
        for (address, verdict) in [
            ("10.20.1.7:5000", Ok(())),
            ("[2001:db8::7]:5000", Ok(())),
            ("10.10.0.5:5000", Ok(())),
            ("10.10.0.5:15443", Err(Forbidden::Own)),
            ("[::ffff:10.10.0.5]:15443", Err(Forbidden::Own)),
            ("127.0.0.1:15000", Err(Forbidden::Loopback)),
            ("127.9.9.9:80", Err(Forbidden::Loopback)),
            ("[::1]:80", Err(Forbidden::Loopback)),
            ("[::ffff:127.0.0.1]:80", Err(Forbidden::Loopback)),
            ("169.254.169.254:80", Err(Forbidden::LinkLocal)),
            ("[::ffff:169.254.169.254]:80", Err(Forbidden::LinkLocal)),
            ("[fd00:ec2::254]:80", Err(Forbidden::LinkLocal)),
            ("[fe80::1]:80", Err(Forbidden::LinkLocal)),
            ("0.0.0.0:80", Err(Forbidden::NoHost)),
            ("0.1.2.3:80", Err(Forbidden::NoHost)),
            ("[::]:80", Err(Forbidden::NoHost)),
            ("224.0.0.1:80", Err(Forbidden::NoHost)),
            ("255.255.255.255:80", Err(Forbidden::NoHost)),
            ("10.20.1.7:0", Err(Forbidden::NoHost)),
        ] {
            assert_eq!(check(&permit, address), verdict, "{address}");
        }
    }

    #[test]
    fn a_list_is_the_whole_of_it_and_lifts_nothing_special() {
        let permit = permit(false, &["10.20.0.0/16", "127.0.0.0/8", "169.254.0.0/16"]);
        assert_eq!(check(&permit, "10.20.1.7:5000"), Ok(()));
        assert_eq!(check(&permit, "10.21.1.7:5000"), Err(Forbidden::Unlisted));
        assert_eq!(check(&permit, "127.0.0.1:80"), Err(Forbidden::Loopback));
        assert_eq!(
            check(&permit, "169.254.169.254:80"),
            Err(Forbidden::LinkLocal)
        );
    }

    #[test]
    fn loopback_is_lifted_by_its_own_setting() {
        let permit = permit(true, &["10.0.0.0/8"]);
        assert_eq!(check(&permit, "127.0.0.9:80"), Ok(()));
        assert_eq!(check(&permit, "192.0.2.1:80"), Err(Forbidden::Unlisted));
    }
}
