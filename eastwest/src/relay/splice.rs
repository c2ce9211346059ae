//! Moves bytes from socket to pipe to socket inside the kernel.
//!
//! `EAGAIN` from `splice` does not say which side blocked. So bytes enter a pipe only
//! while it is empty: then `EAGAIN` means that the source has nothing, and on the way
//! out that the sink is full.

use std::io;

use rustix::pipe::{SpliceFlags, splice};
use tokio::{io::Interest, net::TcpStream};

use super::pipe_pool::Pipe;

/// Fills an empty pipe from a socket. 0 is the end of the stream.
///
/// # Errors
/// `WouldBlock` when the socket has nothing; else the socket's own.
pub fn fill(pipe: &Pipe, from: &TcpStream) -> io::Result<usize> {
    from.try_io(Interest::READABLE, || {
        let moved = splice(from, None, &pipe.into, None, MOST, flags())?;
        Ok(moved)
    })
}

/// Empties a pipe that holds `left` bytes into a socket; says how many went.
///
/// # Errors
/// `WouldBlock` when the socket is full; else the socket's own.
pub fn empty(pipe: &Pipe, left: usize, to: &TcpStream) -> io::Result<usize> {
    to.try_io(Interest::WRITABLE, || {
        let moved = splice(&pipe.out, None, to, None, left, flags())?;
        Ok(moved)
    })
}

fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

/// More than a pipe holds.
const MOST: usize = 1 << 20;
