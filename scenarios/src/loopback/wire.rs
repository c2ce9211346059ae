//! The network between two places on one machine: a relay of TCP connections that can be
//! slow, silent, or cut.
//!
//! Silence is a black hole: nothing is read, nothing is delivered, nobody is told. (The
//! kernel still completes the handshake of a new connection; whoever speaks on it hears
//! nothing.) A cut resets what is open and refuses what is new.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A relay from one address to another.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    traffic: Arc<Traffic>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// What a wire does to what is on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weather {
    /// How long bytes take, each way.
    pub delay: Duration,
    /// What becomes of them.
    pub state: State,
}

/// Whether a wire carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// It does.
    #[default]
    Whole,
    /// It swallows everything, in silence.
    Silent,
    /// It resets what is open, and refuses what is new.
    Cut,
}

/// What a wire has carried.
#[derive(Debug, Default)]
pub struct Traffic {
    connections: AtomicU64,
    bytes: AtomicU64,
}

impl Wire {
    /// Lays a wire from `listen` to `to`.
    ///
    /// # Errors
    /// When `listen` cannot be had.
    pub async fn lay(listen: SocketAddr, to: SocketAddr) -> Result<Self> {
        let listener = open(listen).with_context(|| format!("a wire cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather::default());
        let wire = Self {
            address,
            weather,
            traffic: Arc::default(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let exchange = Exchange {
            address,
            to,
            weather: seen,
            traffic: Arc::clone(&wire.traffic),
            tasks: wire.tasks.clone(),
            cancel: wire.cancel.clone(),
        };
        let cancel = wire.cancel.clone();
        wire.tasks.spawn(async move {
            cancel.run_until_cancelled(exchange.accept(listener)).await;
        });
        Ok(wire)
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes it so from now on.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// What it does now.
    #[must_use]
    pub fn weather(&self) -> Weather {
        *self.weather.borrow()
    }

    /// Connections and bytes that it has carried, both ways together.
    #[must_use]
    pub fn carried(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.traffic.connections), read(&self.traffic.bytes))
    }

    /// Takes it away, with all that is on it.
    pub async fn remove(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Where connections come in.
struct Exchange {
    address: SocketAddr,
    to: SocketAddr,
    weather: watch::Receiver<Weather>,
    traffic: Arc<Traffic>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Exchange {
    /// Accepts while the wire is not cut; has no listener while it is.
    async fn accept(mut self, first: TcpListener) {
        let mut listener = Some(first);
        loop {
            let Some(open) = &listener else {
                if self.weather.changed().await.is_err() {
                    return;
                }
                listener = self.reopen();
                continue;
            };
            tokio::select! {
                accepted = open.accept() => if let Ok((stream, _)) = accepted {
                    self.join(stream);
                },
                changed = self.weather.changed() => match changed {
                    Err(_) => return,
                    Ok(()) if self.state() == State::Cut => listener = None,
                    Ok(()) => {}
                }
            }
        }
    }

    fn state(&self) -> State {
        self.weather.borrow().state
    }

    /// The address may be in use for a moment still: then the next change tries again.
    fn reopen(&self) -> Option<TcpListener> {
        let whole = self.state() != State::Cut;
        whole.then(|| open(self.address).ok()).flatten()
    }

    fn join(&self, near: TcpStream) {
        let (to, weather, traffic) = (self.to, self.weather.clone(), Arc::clone(&self.traffic));
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            cancel
                .run_until_cancelled(carry(near, to, weather, &traffic))
                .await;
        });
    }
}

/// Carries one connection to its end, or to the cut.
async fn carry(
    mut near: TcpStream,
    to: SocketAddr,
    mut weather: watch::Receiver<Weather>,
    traffic: &Traffic,
) {
    // A silent wire reaches nobody.
    if weather
        .wait_for(|w| w.state != State::Silent)
        .await
        .is_err()
    {
        return;
    }
    let Ok(mut far) = TcpStream::connect(to).await else {
        return abort(&near);
    };
    traffic.connections.fetch_add(1, Ordering::Relaxed);
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
    let both = async {
        tokio::join!(
            flow(near_in, far_out, weather.clone(), traffic),
            flow(far_in, near_out, weather.clone(), traffic),
        )
    };
    let mut cut = weather.clone();
    let outcome = tokio::select! {
        (there, back) = both => there.and(back),
        _ = cut.wait_for(|w| w.state == State::Cut) => Err(io::ErrorKind::ConnectionReset.into()),
    };
    if outcome.is_err() {
        abort(&near);
        abort(&far);
    }
}

/// Its end will be a reset.
fn abort(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// One direction: bytes leave `delay` after they came, an end too.
async fn flow(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    weather: watch::Receiver<Weather>,
    traffic: &Traffic,
) -> io::Result<()> {
    let (entrance, exit) = mpsc::channel(QUEUE);
    let (read, written) = tokio::join!(
        take_in(from, entrance, weather.clone()),
        give_out(exit, to, weather, traffic)
    );
    read.and(written)
}

async fn take_in(
    mut from: ReadHalf<'_>,
    entrance: mpsc::Sender<(Instant, Vec<u8>)>,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    loop {
        from.readable().await?;
        let Ok(now) = weather
            .wait_for(|w| w.state != State::Silent)
            .await
            .map(|w| *w)
        else {
            return Ok(());
        };
        let mut chunk = vec![0; CHUNK];
        let count = from.read(&mut chunk).await?;
        chunk.truncate(count);
        let due = Instant::now() + now.delay;
        if count == 0 || entrance.send((due, chunk)).await.is_err() {
            return Ok(());
        }
    }
}

async fn give_out(
    mut exit: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut to: WriteHalf<'_>,
    mut weather: watch::Receiver<Weather>,
    traffic: &Traffic,
) -> io::Result<()> {
    while let Some((due, chunk)) = exit.recv().await {
        sleep_until(due).await;
        if weather
            .wait_for(|w| w.state != State::Silent)
            .await
            .is_err()
        {
            return Ok(());
        }
        to.write_all(&chunk).await?;
        traffic
            .bytes
            .fetch_add(chunk.len() as u64, Ordering::Relaxed);
    }
    to.shutdown().await
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Chunks on their way in one direction: with [`CHUNK`] half a megabyte.
const QUEUE: usize = 32;
const CHUNK: usize = 16 << 10;
const BACKLOG: u32 = 128;

#[cfg(test)]
mod tests;
