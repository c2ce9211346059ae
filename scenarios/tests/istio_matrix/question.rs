//! Asking a gateway by a raw connection, and what it makes of it.

use std::{
    fmt,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// What is said to a port.
pub(crate) struct Question {
    pub(crate) port: u16,
    pub(crate) writes: Vec<Vec<u8>>,
}

/// What came back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) after: Duration,
}

/// The kinds that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A TLS handshake: a backend was reached.
    Handshake,
    /// A TLS alert: so it was.
    Alert,
    /// Bytes that are no TLS, of a backend that speaks none.
    Bytes,
    /// Reset.
    Reset,
    /// Ended.
    Closed,
    /// Nothing.
    Silence,
}

impl Kind {
    pub(crate) fn is_reached(self) -> bool {
        matches!(self, Self::Handshake | Self::Alert | Self::Bytes)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "backend reached (handshake)",
            Self::Alert => "backend reached (alert)",
            Self::Bytes => "backend reached (plain text)",
            Self::Reset => "reset at once",
            Self::Closed => "closed",
            Self::Silence => "silence",
        })
    }
}

impl Question {
    /// Asks once.
    ///
    /// # Errors
    /// When nobody listens.
    pub(crate) async fn ask(&self, gateway: IpAddr) -> Result<Answer> {
        let address = SocketAddr::from((gateway, self.port));
        let stream = TcpStream::connect(address).await;
        let mut stream = stream.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let start = Instant::now();
        let kind = match timeout(AT_ONCE, self.exchange(&mut stream)).await {
            Err(_) => Kind::Silence,
            Ok(Ok(None)) => Kind::Closed,
            Ok(Ok(Some(HANDSHAKE))) => Kind::Handshake,
            Ok(Ok(Some(ALERT))) => Kind::Alert,
            Ok(Ok(Some(_))) => Kind::Bytes,
            Ok(Err(error)) => match error.kind() {
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Kind::Reset,
                _ => return Err(error).with_context(|| format!("asking {address}")),
            },
        };
        let after = start.elapsed();
        Ok(Answer { kind, after })
    }

    /// The first byte of the answer; none at its end.
    async fn exchange(&self, stream: &mut TcpStream) -> io::Result<Option<u8>> {
        for (place, bytes) in self.writes.iter().enumerate() {
            if place > 0 {
                // So that the pieces are not read as one.
                sleep(APART).await;
            }
            stream.write_all(bytes).await?;
        }
        let mut first = [0];
        let count = stream.read(&mut first).await?;
        Ok((count > 0).then_some(first[0]))
    }
}

/// Five times a second, and less than any gateway's own limit: of a dial 10 s, of a
/// ClientHello 15 s.
const AT_ONCE: Duration = Duration::from_secs(5);
const APART: Duration = Duration::from_millis(20);
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
