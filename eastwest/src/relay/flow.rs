//! One direction of a connection.

use std::{
    io,
    net::Shutdown,
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::net::TcpStream;

use super::{
    pace::Pace,
    pipe_pool::Pipe,
    splice::{empty, fill},
};
use crate::{
    error::{Close, Side},
    worker::Worker,
};

/// The state of one direction: what was taken from the source and not yet given to the
/// sink, and whether the source has ended.
#[derive(Debug, Default)]
pub(super) struct Flow {
    held: Held,
    pace: Pace,
    stage: Stage,
    moved: u64,
}

/// Bytes between source and sink. Nothing while the direction is idle.
#[derive(Debug, Default)]
enum Held {
    #[default]
    Nothing,
    /// What a full sink did not take of the shared buffer.
    Bytes { bytes: Box<[u8]>, gone: usize },
    /// A pipe with bytes left in it.
    Pipe { pipe: Pipe, left: usize },
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The source has ended, the sink was not told yet.
    Ending,
    Ended,
}

/// Which socket of the direction broke.
#[derive(Debug)]
pub(super) enum Broken {
    /// The one that is read.
    From(io::Error),
    /// The one that is written.
    To(io::Error),
}

impl Flow {
    /// Moves what can be moved now. Ready when the source has ended and the sink knows.
    pub(super) fn poll(
        &mut self,
        from: &TcpStream,
        to: &TcpStream,
        worker: &Worker,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        let stop = self.moved + TURN;
        while self.stage != Stage::Ended {
            ready!(self.give(to, worker, cx)).map_err(Broken::To)?;
            if self.stage == Stage::Ending {
                finish(to).map_err(Broken::To)?;
                self.stage = Stage::Ended;
                break;
            }
            if self.moved >= stop {
                // Others of this worker come first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(from.poll_read_ready(cx)).map_err(Broken::From)?;
            match self.take(from, to, worker) {
                Err(Broken::From(e)) if e.kind() == io::ErrorKind::WouldBlock => {}
                taken => taken?,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes given to the sink so far.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether it does not listen to its source: blocked by the sink, or ended.
    pub(super) fn is_deaf(&self) -> bool {
        self.stage != Stage::Open || !matches!(self.held, Held::Nothing)
    }

    /// Gives what is held to the sink; ready when nothing is held.
    fn give(
        &mut self,
        to: &TcpStream,
        worker: &Worker,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !matches!(self.held, Held::Nothing) {
            match self.give_some(to, worker) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready!(to.poll_write_ready(cx))?;
                }
                given => given?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn give_some(&mut self, to: &TcpStream, worker: &Worker) -> io::Result<()> {
        match &mut self.held {
            Held::Nothing => return Ok(()),
            Held::Bytes { bytes, gone } => {
                let count = to.try_write(&bytes[*gone..])?;
                *gone += count;
                self.moved += count as u64;
                worker.counters.copied.add(count as u64);
                if *gone < bytes.len() {
                    return Ok(());
                }
            }
            Held::Pipe { pipe, left } => {
                let count = empty(pipe, *left, to)?;
                *left -= count;
                self.moved += count as u64;
                worker.counters.spliced.add(count as u64);
                if *left > 0 {
                    return Ok(());
                }
            }
        }
        if let Held::Pipe { pipe, .. } = std::mem::take(&mut self.held) {
            worker.pipes.give_back(pipe);
        }
        Ok(())
    }

    /// Takes once from the source, which nothing is held of.
    fn take(&mut self, from: &TcpStream, to: &TcpStream, worker: &Worker) -> Result<(), Broken> {
        let full = worker.buffer.borrow().len();
        let count = if self.pace.splices() {
            match worker.pipes.take() {
                Some(pipe) => self.take_into(pipe, from, worker),
                None => {
                    worker.counters.pipes_missing.add(1);
                    self.copy(from, to, worker)
                }
            }
        } else {
            self.copy(from, to, worker)
        }?;
        match count {
            0 => self.stage = Stage::Ending,
            count => self.pace.moved(count, full),
        }
        Ok(())
    }

    fn take_into(
        &mut self,
        pipe: Pipe,
        from: &TcpStream,
        worker: &Worker,
    ) -> Result<usize, Broken> {
        let filled = fill(&pipe, from);
        match filled {
            Ok(left) if left > 0 => self.held = Held::Pipe { pipe, left },
            _ => worker.pipes.give_back(pipe),
        }
        filled.map_err(Broken::From)
    }

    /// Copies once through the shared buffer. What the sink does not take at once moves
    /// to memory of its own.
    fn copy(&mut self, from: &TcpStream, to: &TcpStream, worker: &Worker) -> Result<usize, Broken> {
        let mut buffer = worker.buffer.borrow_mut();
        let taken = from.try_read(&mut buffer).map_err(Broken::From)?;
        let given = match to.try_write(&buffer[..taken]) {
            _ if taken == 0 => 0,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            given => given.map_err(Broken::To)?,
        };
        self.moved += given as u64;
        worker.counters.copied.add(given as u64);
        if given < taken {
            self.held = Held::Bytes {
                bytes: buffer[given..taken].into(),
                gone: 0,
            };
        }
        Ok(taken)
    }
}

impl Broken {
    /// The reason to close with, for a direction between these sides.
    pub(super) fn close(&self, from: Side, to: Side) -> Close {
        let (side, error) = match self {
            Self::From(error) => (from, error),
            Self::To(error) => (to, error),
        };
        let lost = matches!(
            error.kind(),
            io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
        );
        match (side, lost) {
            (Side::Client, false) => Close::ClientReset,
            (Side::Client, true) => Close::ClientLost,
            (_, false) => Close::EndpointReset,
            (_, true) => Close::EndpointLost,
        }
    }
}

/// Passes the end of the stream on.
fn finish(to: &TcpStream) -> io::Result<()> {
    match SockRef::from(to).shutdown(Shutdown::Write) {
        // Already gone; what it meant to say is read from its other half.
        Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
        done => done,
    }
}

/// Bytes that one direction may move before other connections get their turn.
const TURN: u64 = 1 << 20;
