//! One thread of the data plane: its runtime, its listener, its connections.
//!
//! A connection lives and dies on the worker that accepted it, so what a worker owns
//! needs no lock. What all share ([`Shared`]) is atomics and the immutable table.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use arc_swap::ArcSwap;
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
    admit::Gate,
    config::Validated,
    connection::Connection,
    dial::permit::Permit,
    listener::{
        entrances::{Entrance, Entrances},
        keeper::Change,
    },
    metrics::{Counters, Meter},
    passthrough::{Scratch, names::Names},
    relay::pipe_pool::PipePool,
    route::{Table, balance::Dice},
};

/// What all threads of a gateway share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Validated,
    pub(crate) table: ArcSwap<Table>,
    pub(crate) meter: Meter,
    pub(crate) gate: Arc<Gate>,
    pub(crate) permit: Permit,
    pub(crate) names: Names,
}

/// What the connections of one thread share.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) hello: RefCell<Scratch>,
    pub(crate) buffer: RefCell<Box<[u8]>>,
    pub(crate) pipes: PipePool,
    pub(crate) dice: RefCell<Dice>,
    /// Present once the drain's limit ran out: the connections cut by it.
    pub(crate) cuts: RefCell<Option<Vec<Record>>>,
    access_log: Option<SyncSender<Record>>,
}

/// How the connections of one worker ended after it stopped accepting.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    /// Open when accepting stopped.
    pub(crate) open: usize,
    /// Cut when the limit ran out.
    pub(crate) cut: Vec<Record>,
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
    let worker = Rc::new(worker);
    let local = LocalSet::new();
    let drained = local.block_on(&runtime, async {
        let mut connections = JoinSet::new();
        let mut entrances = Entrances::default();
        let accepting = worker.accept(&mut entrances, &mut changes, &mut connections);
        cancel.run_until_cancelled(accepting).await;
        // Clients may wait at a listener that this worker has not heard of yet.
        while let Ok(change) = changes.try_recv() {
            worker.change(&mut entrances, change, &mut connections);
        }
        for entrance in entrances.into_all() {
            worker.take_backlog(entrance, &mut connections);
        }
        worker.drain(connections).await
    });
    drop(local);
    Ok(drained)
}

impl Worker {
    pub(crate) fn new(
        index: usize,
        shared: &Arc<Shared>,
        pipes: usize,
        access_log: Option<SyncSender<Record>>,
    ) -> Self {
        Self {
            index,
            counters: shared.meter.worker(index),
            hello: RefCell::new(Scratch::new(shared.config.hello.bytes.0)),
            buffer: RefCell::new(vec![0; BUFFER].into()),
            pipes: PipePool::new(pipes),
            dice: RefCell::new(Dice::new(rand::random())),
            cuts: RefCell::new(None),
            access_log,
            shared: Arc::clone(shared),
        }
    }

    /// Hands a line to the access log; when that is full, the line is lost and counted,
    /// and no connection waits.
    pub(crate) fn log(&self, record: Record) {
        if let Some(log) = &self.access_log
            && log.try_send(record).is_err()
        {
            self.counters.log_lines_lost.add(1);
        }
    }

    /// Keeps what was cut, for the drain's report.
    pub(crate) fn keep_cut(&self, record: &Record) {
        if let Some(cuts) = self.cuts.borrow_mut().as_mut() {
            cuts.push(record.clone());
        }
    }

    async fn accept(
        self: &Rc<Self>,
        entrances: &mut Entrances,
        changes: &mut UnboundedReceiver<Change>,
        connections: &mut JoinSet<()>,
    ) {
        loop {
            tokio::select! {
                Some(change) = changes.recv() => self.change(entrances, change, connections),
                Some(ended) = connections.join_next() => report_failure(ended),
                (listener, accepted) = entrances.accept() => match accepted {
                    Ok((client, peer)) => self.begin(connections, &listener, client, peer),
                    Err(error) => self.pause(&error).await,
                },
            }
        }
    }

    fn change(
        self: &Rc<Self>,
        entrances: &mut Entrances,
        change: Change,
        connections: &mut JoinSet<()>,
    ) {
        match entrances.change(change) {
            Ok(None) => {}
            Ok(Some(closed)) => self.take_backlog(closed, connections),
            Err(error) => tracing::error!(%error, "a listener is lost on one worker"),
        }
    }

    fn begin(
        self: &Rc<Self>,
        connections: &mut JoinSet<()>,
        listener: &Rc<str>,
        client: TcpStream,
        peer: SocketAddr,
    ) {
        if let Some(connection) = Connection::admit(self, listener, client, peer) {
            connections.spawn_local(connection.live());
        }
    }

    /// Out of descriptors or memory: waits for connections to end. Everything else is
    /// the trouble of one client that is gone already.
    async fn pause(&self, error: &io::Error) {
        let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        if Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno)) {
            self.counters.accept_pauses.add(1);
            sleep(ACCEPT_PAUSE).await;
        }
    }

    /// Takes those who had connected before a listener closed. The kernel is asked, not
    /// the runtime, which may not have heard of them yet.
    fn take_backlog(self: &Rc<Self>, closed: Entrance, connections: &mut JoinSet<()>) {
        let taken = closed.socket.into_std().and_then(|listener| {
            loop {
                match listener.accept() {
                    Ok((client, peer)) => {
                        client.set_nonblocking(true)?;
                        let client = TcpStream::from_std(client)?;
                        self.begin(connections, &closed.name, client, peer);
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

    async fn drain(&self, mut connections: JoinSet<()>) -> Drained {
        while let Some(ended) = connections.try_join_next() {
            report_failure(ended);
        }
        let open = connections.len();
        let limit = self.shared.config.drain.limit.0;
        if timeout(limit, ended(&mut connections)).await.is_err() {
            *self.cuts.borrow_mut() = Some(Vec::new());
            connections.shutdown().await;
        }
        let cut = self.cuts.take().unwrap_or_default();
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

const BUFFER: usize = 16 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
