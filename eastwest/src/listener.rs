//! Listening sockets: one per worker on the same port.
//!
//! `SO_REUSEPORT` lets the kernel spread new connections over the workers; a connection
//! stays with the one that accepted it. `keeper` opens and closes them as the source of
//! routes says, `entrances` are what a worker has of them.

pub(crate) mod entrances;
pub(crate) mod keeper;
mod spec;

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

pub use self::spec::ListenerSpec;
use crate::config::Relay;

/// Opens `count` sockets on one address; port 0 becomes a free one, the same for all.
///
/// # Errors
/// When one of them cannot be had.
pub fn open(address: SocketAddr, count: usize, relay: &Relay) -> io::Result<Vec<TcpListener>> {
    let mut address = address;
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = bind(address, relay)?;
        address = socket.local_addr()?;
        all.push(socket);
    }
    Ok(all)
}

/// Asks the kernel to notice a peer that is gone, and to send small writes at once.
/// Accepted sockets inherit this from their listener.
///
/// # Errors
/// The kernel's, for an option it does not take.
pub fn watch_peer(socket: SockRef<'_>, relay: &Relay) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(relay.keepalive.0)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(relay.user_timeout.0))?;
    socket.set_tcp_nodelay(true)
}

fn bind(address: SocketAddr, relay: &Relay) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    watch_peer(SockRef::from(&socket), relay)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

const BACKLOG: i32 = 4096;
const KEEPALIVE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn all_sockets_share_one_port_and_accepted_ones_inherit_the_watch() {
        let relay = Relay::default();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let all = open(any, 3, &relay).unwrap();
        let address = all[0].local_addr().unwrap();
        assert!(all.iter().all(|l| l.local_addr().unwrap() == address));
        let _client = TcpStream::connect(address).unwrap();
        let accepted = loop {
            if let Some((accepted, _)) = all.iter().find_map(|l| l.accept().ok()) {
                break accepted;
            }
        };
        let socket = SockRef::from(&accepted);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), relay.keepalive.0);
        let timeout = socket.tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(relay.user_timeout.0));
        assert!(socket.tcp_nodelay().unwrap());
    }
}
