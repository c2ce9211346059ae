//! The listeners of one worker, accepted from in turn.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::net::{TcpListener, TcpStream};

use super::keeper::Change;

/// Where a worker accepts.
#[derive(Debug, Default)]
pub(crate) struct Entrances {
    open: Vec<Entrance>,
    /// Who is asked first: the one behind that which was answered last.
    turn: usize,
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) name: Rc<str>,
    pub(crate) socket: TcpListener,
}

/// A listener's name, and a client of it or why there is none.
pub(crate) type Accepted = (Rc<str>, io::Result<(TcpStream, SocketAddr)>);

impl Entrances {
    /// Opens or closes one; gives the closed one back, for those who wait at it.
    ///
    /// # Errors
    /// When the runtime does not take the socket.
    pub(crate) fn change(&mut self, change: Change) -> io::Result<Option<Entrance>> {
        match change {
            Change::Open { name, socket } => {
                let (name, socket) = (Rc::from(&*name), TcpListener::from_std(socket)?);
                self.open.push(Entrance { name, socket });
                Ok(None)
            }
            Change::Close { name, address } => {
                let same = |entrance: &Entrance| {
                    *entrance.name == *name && entrance.socket.local_addr().ok() == Some(address)
                };
                let place = self.open.iter().position(same);
                Ok(place.map(|place| self.open.swap_remove(place)))
            }
        }
    }

    /// The next client of any of them, with the listener's name.
    pub(crate) async fn accept(&mut self) -> Accepted {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Accepted> {
        let count = self.open.len();
        for step in 0..count {
            let place = (self.turn + step) % count;
            let entrance = &self.open[place];
            if let Poll::Ready(accepted) = entrance.socket.poll_accept(cx) {
                self.turn = place + 1;
                return Poll::Ready((Rc::clone(&entrance.name), accepted));
            }
        }
        Poll::Pending
    }

    /// All of them, at the end.
    pub(crate) fn into_all(self) -> Vec<Entrance> {
        self.open
    }
}
