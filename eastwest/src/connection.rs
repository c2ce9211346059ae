//! The life of one connection: hello, route, dial, relay, and the account of it.
//!
//! The account is given when the connection is dropped, so none is missing, whether it
//! ended, was cut, or its task failed.

use std::{
    future::Future,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, SystemTime},
};

use socket2::SockRef;
use std::sync::Arc;
use tokio::{net::TcpStream, time::Instant};

use crate::{
    access_log::Record,
    admit::Admitted,
    dial::dial,
    error::Close,
    passthrough,
    relay::{Relay, carried::Carried},
    route::{self, Failure, Route, table::Held},
    worker::Worker,
};

/// A client's connection, from accept to its end.
#[derive(Debug)]
pub(crate) struct Connection {
    worker: Rc<Worker>,
    client: TcpStream,
    peer: SocketAddr,
    began: Instant,
    /// The listener that it came in by.
    listener: Rc<str>,
    /// Absent when it was refused.
    admitted: Option<Admitted>,
    /// A name without a route; else the route tells it.
    strange_sni: Option<Box<str>>,
    route: Option<Arc<Route>>,
    link: Option<Link>,
    carried: Carried,
    close: Option<Close>,
}

/// The way to the endpoint.
#[derive(Debug)]
struct Link {
    endpoint: TcpStream,
    held: Held,
    after: Duration,
}

impl Connection {
    /// A connection that was accepted just now; none when a limit refuses it, of which
    /// the account is given already.
    pub(crate) fn admit(
        worker: &Rc<Worker>,
        listener: &Rc<str>,
        client: TcpStream,
        peer: SocketAddr,
    ) -> Option<Self> {
        worker.counters.accepted.add(1);
        let entered = worker.shared.gate.enter(peer.ip());
        let close = entered.as_ref().err().copied();
        let connection = Self {
            admitted: entered.ok(),
            worker: Rc::clone(worker),
            listener: Rc::clone(listener),
            client,
            peer,
            began: Instant::now(),
            strange_sni: None,
            route: None,
            link: None,
            carried: Carried::default(),
            close,
        };
        connection.close.is_none().then_some(connection)
    }

    /// Lives it to its end.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would hold the connection twice, as argument and as variable"
    )]
    pub(crate) fn live(mut self) -> impl Future<Output = ()> {
        async move {
            let close = match self.route_and_dial().await {
                Ok(()) => self.relay().await,
                Err(close) => close,
            };
            self.end(close);
        }
    }

    fn end(&mut self, close: Close) {
        self.close = Some(close);
    }

    async fn route_and_dial(&mut self) -> Result<(), Close> {
        let route = self.choose_route().await?;
        if let Some(admitted) = &mut self.admitted {
            admitted.settle();
        }
        let route = self.route.insert(route);
        if route.spec().closed {
            return Err(Close::Quarantined);
        }
        if route.is_full() {
            return Err(Close::Overflow);
        }
        let (endpoint, held) = dial(&self.worker, route, self.peer.ip()).await?;
        let after = self.began.elapsed();
        self.link = Some(Link {
            endpoint,
            held,
            after,
        });
        Ok(())
    }

    async fn choose_route(&mut self) -> Result<Arc<Route>, Close> {
        let Self {
            worker,
            listener,
            client,
            strange_sni,
            ..
        } = self;
        let shared = &worker.shared;
        let limit = shared.config.hello.timeout.0;
        passthrough::hello(client, &worker.hello, limit, |hello| {
            let chosen = route::choose(&shared.table.load(), listener, &shared.names, hello);
            if chosen.is_err() {
                *strange_sni = hello.sni.map(Box::from);
            }
            chosen
        })
        .await?
    }

    async fn relay(&mut self) -> Close {
        let (Some(link), Some(route)) = (&self.link, &self.route) else {
            return Close::Dropped;
        };
        let (spec, shared) = (route.spec(), &self.worker.shared);
        let series = link.held.endpoint().series(&spec.service, &shared.meter);
        let cell = series.cell(self.worker.index);
        cell.opened.add(1);
        let relay = Relay {
            client: &self.client,
            endpoint: &link.endpoint,
            worker: &self.worker,
            cell,
            carried: &mut self.carried,
        };
        let end = spec.max_duration.map(|most| self.began + most.0);
        let idle = spec.idle_timeout.unwrap_or(shared.config.relay.idle);
        relay.run(idle.0, end).await
    }

    /// Why it ended: if its task did not say, it was cut or the task failed.
    fn reason(&self) -> Close {
        let cut = match self.worker.cuts.borrow().is_some() {
            true => Close::Drained,
            false => Close::Dropped,
        };
        self.close.unwrap_or(cut)
    }

    fn count(&self, close: Close) {
        self.worker.counters.closed[close.index()].add(1);
        let Some(route) = &self.route else { return };
        let (index, meter) = (self.worker.index, &self.worker.shared.meter);
        if let Some(link) = &self.link {
            let series = link.held.endpoint().series(&route.spec().service, meter);
            return series.cell(index).closed.add(1);
        }
        let why = match close {
            Close::NoEndpoint => Failure::None,
            Close::Overflow => Failure::Overflow,
            Close::Quarantined => Failure::Closed,
            _ => Failure::Unreachable,
        };
        let cell = route.failed(why, meter).cell(index);
        cell.opened.add(1);
        cell.closed.add(1);
    }

    fn record(&self, close: Close) -> Record {
        let lasted = self.began.elapsed();
        let endpoint = self.link.as_ref().map(|link| link.held.endpoint());
        Record {
            began: SystemTime::now() - lasted,
            lasted,
            connected_after: self.link.as_ref().map(|link| link.after),
            peer: self.peer,
            strange_sni: self.strange_sni.clone(),
            route: self.route.clone(),
            endpoint: endpoint.cloned(),
            carried: self.carried,
            close,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let close = self.reason();
        // Before the account: who reads that finds room.
        self.admitted = None;
        self.count(close);
        if close.resets() {
            let sockets = [Some(&self.client), self.link.as_ref().map(|l| &l.endpoint)];
            for socket in sockets.into_iter().flatten() {
                // A socket that is gone already needs no reset.
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
        }
        let record = self.record(close);
        if close == Close::Drained {
            self.worker.keep_cut(&record);
        }
        self.worker.log(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<F>(_: fn(Connection) -> F) -> usize {
        size_of::<F>()
    }

    /// What an idle connection costs beside its two sockets.
    #[test]
    fn a_connection_is_small() {
        let size = size_of_future(Connection::live);
        println!("{size} bytes");
        assert!(size <= 960, "{size} bytes");
    }
}
