//! One thread of the data plane: its runtime, its listeners, its connections.
//!
//! It accepts and, told to stop, drains; what it accepts lives by itself
//! ([`Connection`]).

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use rustix::io::Errno;
use tokio::{
    net::TcpStream,
    runtime,
    sync::mpsc::UnboundedReceiver,
    task::{JoinError, JoinSet, LocalSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    access_log::Record,
    connection::Connection,
    listener::{
        entrances::{Entrance, Entrances},
        keeper::Change,
    },
    worker::Worker,
};

/// How the connections of one thread ended after it stopped accepting.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    /// Open when accepting stopped.
    pub(crate) open: usize,
    /// Cut when the limit ran out.
    pub(crate) cut: Vec<Record>,
}

/// What one thread runs: where clients come in, and those that are in.
struct Acceptor {
    worker: Rc<Worker>,
    entrances: Entrances,
    connections: JoinSet<()>,
}

/// Runs a worker on the thread at hand until it is cancelled and has drained.
///
/// # Errors
/// When the runtime cannot be set up.
pub(crate) fn run(
    worker: Worker,
    mut changes: UnboundedReceiver<Change>,
    cancel: &CancellationToken,
) -> io::Result<Drained> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut acceptor = Acceptor {
        worker: Rc::new(worker),
        entrances: Entrances::default(),
        connections: JoinSet::new(),
    };
    let local = LocalSet::new();
    let drained = local.block_on(&runtime, async {
        cancel
            .run_until_cancelled(acceptor.accept(&mut changes))
            .await;
        // Clients may wait at a listener that this thread has not heard of yet.
        while let Ok(change) = changes.try_recv() {
            acceptor.change(change);
        }
        acceptor.drain().await
    });
    drop(local);
    Ok(drained)
}

impl Acceptor {
    async fn accept(&mut self, changes: &mut UnboundedReceiver<Change>) {
        loop {
            tokio::select! {
                Some(change) = changes.recv() => self.change(change),
                Some(ended) = self.connections.join_next() => report_failure(ended),
                (listener, accepted) = self.entrances.accept() => match accepted {
                    Ok((client, peer)) => self.begin(&listener, client, peer),
                    Err(error) => self.pause(&error).await,
                },
            }
        }
    }

    fn change(&mut self, change: Change) {
        match self.entrances.change(change) {
            Ok(None) => {}
            Ok(Some(closed)) => self.take_backlog(closed),
            Err(error) => tracing::error!(%error, "a listener is lost on one worker"),
        }
    }

    fn begin(&mut self, listener: &Rc<str>, client: TcpStream, peer: SocketAddr) {
        if let Some(connection) = Connection::admit(&self.worker, listener, client, peer) {
            self.connections.spawn_local(connection.live());
        }
    }

    /// Out of descriptors or memory: waits for connections to end. Everything else is
    /// the trouble of one client that is gone already.
    async fn pause(&self, error: &io::Error) {
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        if Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno)) {
            self.worker.counters.accept_pauses.add(1);
            sleep(ACCEPT_PAUSE).await;
        }
    }

    /// Takes those who had connected before a listener closed. The kernel is asked, not
    /// the runtime, which may not have heard of them yet.
    fn take_backlog(&mut self, closed: Entrance) {
        let taken = closed.socket.into_std().and_then(|listener| {
            loop {
                match listener.accept() {
                    Ok((client, peer)) => {
                        client.set_nonblocking(true)?;
                        let client = TcpStream::from_std(client)?;
                        self.begin(&closed.name, client, peer);
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(_) => return Ok(()),
                }
            }
        });
        if let Err(error) = taken {
            tracing::warn!(%error, "clients in the backlog are lost");
        }
    }

    async fn drain(mut self) -> Drained {
        for entrance in std::mem::take(&mut self.entrances).into_all() {
            self.take_backlog(entrance);
        }
        while let Some(ended) = self.connections.try_join_next() {
            report_failure(ended);
        }
        let open = self.connections.len();
        let limit = self.worker.shared.config.drain.limit.0;
        if timeout(limit, ended(&mut self.connections)).await.is_err() {
            *self.worker.cuts.borrow_mut() = Some(Vec::new());
            self.connections.shutdown().await;
        }
        let cut = self.worker.cuts.take().unwrap_or_default();
        Drained { open, cut }
    }
}

async fn ended(connections: &mut JoinSet<()>) {
    while let Some(ended) = connections.join_next().await {
        report_failure(ended);
    }
}

fn report_failure(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
