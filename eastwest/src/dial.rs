//! Reaches an endpoint of a route, and another one when the first does not answer.
//!
//! Nothing has been sent to an endpoint before `dial` returns, so trying another is
//! always safe. Which addresses may be dialled at all is decided in [`permit`].

pub mod permit;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rustix::io::Errno;
use socket2::SockRef;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use self::permit::Permit;
use crate::{
    config,
    error::Close,
    listener::watch_peer,
    metrics::Attempt,
    route::{Endpoint, Route, table::Held},
    worker::Worker,
};

/// Connects to an endpoint of `route`.
///
/// # Errors
/// Why the last one tried could not be reached; [`Close::NoEndpoint`] when the route has
/// none to try.
pub(crate) async fn dial(
    worker: &Worker,
    route: &Route,
    client: IpAddr,
) -> Result<(TcpStream, Held), Close> {
    let config = &worker.shared.config;
    let mut tried = Vec::new();
    let mut last = Close::NoEndpoint;
    for _ in 0..config.dial.attempts {
        let now = worker.shared.began.elapsed();
        let held = route.hold(&tried, client, now, &mut worker.dice.borrow_mut());
        let Some((place, held)) = held else { break };
        let address = held.endpoint().address;
        let limit = limit(&config.dial, route);
        let permit = &worker.shared.permit;
        let attempt = attempt(address, limit, permit, &config.relay).await;
        let count = |attempt: Attempt| worker.counters.dials[attempt as usize].add(1);
        match attempt {
            Ok(stream) => {
                count(Attempt::Connected);
                held.endpoint().history().reached();
                return Ok((stream, held));
            }
            Err(failed) => {
                count(failed);
                if matches!(failed, Attempt::TimedOut | Attempt::Refused) {
                    missed(worker, route, held.endpoint());
                }
                last = close(failed);
                tried.push(place);
            }
        }
    }
    Err(last)
}

/// Takes note of an endpoint that could not be reached.
fn missed(worker: &Worker, route: &Route, endpoint: &Endpoint) {
    let rule = route
        .spec()
        .eject
        .unwrap_or(worker.shared.config.dial.eject);
    let now = worker.shared.began.elapsed();
    if let Some(time) = endpoint.history().missed(&rule, now) {
        worker.counters.ejections.add(1);
        let (sni, address) = (&route.spec().sni, endpoint.address);
        let time = humantime::format_duration(time);
        tracing::info!(%sni, %address, %time, "endpoint ejected: it cannot be reached");
    }
}

/// The time for one attempt: the lower of the setting and the route's own limit.
fn limit(dial: &config::Dial, route: &Route) -> Duration {
    let own = route.spec().connect_timeout.map(|span| span.0);
    dial.timeout.0.min(own.unwrap_or(Duration::MAX))
}

async fn attempt(
    address: SocketAddr,
    limit: Duration,
    permit: &Permit,
    relay: &config::Relay,
) -> Result<TcpStream, Attempt> {
    if permit.check(address).is_err() {
        return Err(Attempt::Forbidden);
    }
    let socket = open(address, relay).map_err(|e| failure(&e))?;
    match timeout(limit, socket.connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(e)) => Err(failure(&e)),
        Err(_) => Err(Attempt::TimedOut),
    }
}

fn open(address: SocketAddr, relay: &config::Relay) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    watch_peer(SockRef::from(&socket), relay)?;
    Ok(socket)
}

fn failure(error: &io::Error) -> Attempt {
    match Errno::from_io_error(error) {
        Some(Errno::TIMEDOUT) => Attempt::TimedOut,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL) => {
            Attempt::Exhausted
        }
        _ => Attempt::Refused,
    }
}

fn close(failed: Attempt) -> Close {
    match failed {
        Attempt::Forbidden => Close::DialForbidden,
        Attempt::Exhausted => Close::Exhausted,
        Attempt::Connected | Attempt::TimedOut | Attempt::Refused => Close::DialFailed,
    }
}
