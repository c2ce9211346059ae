//! Looks at a connection's ClientHello without taking it from the socket.
//!
//! Peeking means that a waiting connection owns no buffer, that the relay begins with
//! the client's first byte, and that a refused client is reset by the kernel (unread
//! bytes), as Envoy resets it.

pub mod client_hello;
pub mod names;
pub mod sni;

use std::{cell::RefCell, io, time::Duration};

use rustix::net::{RecvFlags, recv};
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, timeout_at},
};

use self::client_hello::{ClientHello, Progress, Refusal, read};
use crate::error::Close;

/// Space for one ClientHello, shared by the connections of a worker: nothing is kept in
/// it while a connection waits.
#[derive(Debug)]
pub struct Scratch {
    peeked: Box<[u8]>,
    joined: Vec<u8>,
}

/// What a look at the socket showed.
enum Look<T> {
    /// `decide`'s answer to a whole ClientHello.
    Seen(T),
    /// There is none.
    Refused(Close),
}

impl Scratch {
    /// Space for a ClientHello of at most `bytes`.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            peeked: vec![0; bytes].into(),
            joined: Vec::with_capacity(bytes),
        }
    }
}

/// Waits for the whole ClientHello and shows it to `decide`.
///
/// # Errors
/// [`Close`], when there is no ClientHello within `limit`, or none that can be read.
pub async fn hello<T>(
    client: &TcpStream,
    scratch: &RefCell<Scratch>,
    limit: Duration,
    mut decide: impl FnMut(ClientHello<'_>) -> T,
) -> Result<T, Close> {
    let deadline = Instant::now() + limit;
    let mut at_least = 1;
    loop {
        let ready = timeout_at(deadline, client.ready(Interest::READABLE));
        let ready = match ready.await {
            Err(_) => return Err(Close::HelloTooSlow),
            Ok(Err(_)) => return Err(Close::HelloReset),
            Ok(Ok(ready)) => ready,
        };
        let looked = client.try_io(Interest::READABLE, || {
            let seen = look(
                client,
                &mut scratch.borrow_mut(),
                &mut at_least,
                &mut decide,
            );
            match seen {
                // The end was announced behind these bytes: no more will come.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => {
                    Ok(Look::Refused(left(client)))
                }
                seen => seen,
            }
        });
        match looked {
            Ok(Look::Seen(answer)) => return Ok(answer),
            Ok(Look::Refused(close)) => return Err(close),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Close::HelloReset),
        }
    }
}

/// How a client left that said too little.
fn left(client: &TcpStream) -> Close {
    match client.take_error() {
        Ok(None) => Close::HelloCutShort,
        _ => Close::HelloReset,
    }
}

/// Peeks once. `WouldBlock` says that the bytes at hand allow no verdict yet.
fn look<T>(
    client: &TcpStream,
    scratch: &mut Scratch,
    at_least: &mut usize,
    decide: &mut impl FnMut(ClientHello<'_>) -> T,
) -> io::Result<Look<T>> {
    let limit = scratch.peeked.len();
    let (_, length) = recv(client, &mut *scratch.peeked, RecvFlags::PEEK)?;
    if length == 0 {
        return Ok(Look::Refused(Close::HelloCutShort));
    }
    if length < *at_least {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    match read(&scratch.peeked[..length], &mut scratch.joined, limit) {
        Ok(Progress::Whole(hello)) => Ok(Look::Seen(decide(hello))),
        Ok(Progress::More { at_least: bound }) => {
            *at_least = bound;
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(refusal) => Ok(Look::Refused(refusal.into())),
    }
}

impl From<Refusal> for Close {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotTls => Self::NotTls,
            Refusal::TooLong => Self::HelloTooLong,
            Refusal::Malformed(_) => Self::BadHello,
        }
    }
}
