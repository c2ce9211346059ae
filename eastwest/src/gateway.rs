//! Starts a gateway and waits for its end.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc::unbounded_channel, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    acceptor::{self, Drained},
    access_log::{self, Record},
    admit::{Gate, descriptors},
    config::Validated,
    dial::permit::Permit,
    drain::Report,
    error::Error,
    listener::{ListenerSpec, keeper::Keeper},
    metrics::Meter,
    route::spec::MESH,
    status::Status,
    sync::{self, Publisher, standing::Board},
    worker::{Shared, Worker},
};

/// A gateway at work. It ends when its token is cancelled and it has drained.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    status: Status,
    workers: Vec<Thread<Drained>>,
    control: Thread<()>,
    log: Option<Thread<()>>,
}

/// A thread, and what it leaves behind.
#[derive(Debug)]
struct Thread<T> {
    name: String,
    result: oneshot::Receiver<io::Result<T>>,
}

/// Starts a gateway whose access log goes to standard output.
///
/// # Errors
/// [`Error`], when it cannot listen, start its threads or read its static routes.
pub fn start(config: Validated, stop: CancellationToken) -> Result<Gateway, Error> {
    start_with(config, stop, Box::new(io::stdout()))
}

/// Starts a gateway whose access log goes to `access_log`.
///
/// # Errors
/// As [`start`].
pub fn start_with(
    config: Validated,
    stop: CancellationToken,
    access_log: Box<dyn Write + Send>,
) -> Result<Gateway, Error> {
    let count = workers(&config)?;
    descriptors::check(&config);
    let (tell, told): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded_channel()).unzip();
    let listeners = Keeper::new(tell, &config.relay);
    let address = open_mesh(&config, &listeners)?;
    let shared = Arc::new(Shared {
        table: ArcSwap::default(),
        meter: Meter::new(&config, count),
        gate: Gate::new(&config.limits),
        permit: Permit::new(&config, address.port()),
        names: config.passthrough.names(&config.node),
        began: Instant::now(),
        config,
    });
    let board = Board::default();
    let publisher = Publisher::new(&shared, &board, listeners);
    if let Some(path) = &shared.config.source.file {
        sync::file::load(path, &publisher)?;
    }
    if let Some(state) = &shared.config.state {
        sync::keep::recall(state, &publisher);
    }
    let status = Status::new(&shared, &board, &stop);
    let (log, lines) = log(shared.config.access_log, access_log)?;
    let mut workers = Vec::with_capacity(count);
    for (index, told) in told.into_iter().enumerate() {
        let pipes = part(shared.config.relay.pipes as usize, index, count);
        let (shared, lines, stop) = (Arc::clone(&shared), lines.clone(), stop.clone());
        workers.push(Thread::spawn(format!("eastwest-{index}"), move || {
            let worker = Worker::new(index, &shared, pipes, lines);
            acceptor::run(worker, told, &stop)
        })?);
    }
    let control = Thread::spawn("eastwest-control".to_owned(), move || {
        sync::run(&publisher, &stop)
    })?;
    Ok(Gateway {
        address,
        status,
        workers,
        control,
        log,
    })
}

/// Opens the mesh's own listener, unless the source says where to listen.
fn open_mesh(config: &Validated, listeners: &Keeper) -> Result<SocketAddr, Error> {
    let mesh = ListenerSpec {
        name: MESH.into(),
        address: config.listen.mesh,
    };
    if config.source.istiod.is_some() {
        return Ok(mesh.address);
    }
    let failed = |source| Error::Listen {
        address: mesh.address,
        source,
    };
    listeners.open(&mesh).map_err(failed)
}

impl Gateway {
    /// The address of the mesh's port: that of `listen.mesh`, as the kernel gave it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle for health, metrics and debug views.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Waits until the gateway was told to stop and has drained.
    pub async fn join(self) -> Report {
        let mut report = Report::default();
        for worker in self.workers {
            let Drained { open, cut } = worker.join().await.unwrap_or_default();
            report.add(open, cut);
        }
        self.control.join().await;
        if let Some(log) = self.log {
            log.join().await;
        }
        tracing::info!(%report, "drained");
        report
    }
}

impl<T: Send + 'static> Thread<T> {
    fn spawn(
        name: String,
        run: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<Self, Error> {
        let (done, result) = oneshot::channel();
        let body = move || {
            // Nobody waits for a gateway that was dropped.
            let _ = done.send(run());
        };
        let thread = thread::Builder::new().name(name.clone());
        thread.spawn(body).map_err(Error::Thread)?;
        Ok(Self { name, result })
    }

    /// Waits for its end; none when it failed, which is logged.
    async fn join(self) -> Option<T> {
        let thread = self.name;
        match self.result.await {
            Ok(Ok(left)) => return Some(left),
            Ok(Err(error)) => tracing::error!(thread, %error, "a thread failed"),
            Err(_) => tracing::error!(thread, "a thread panicked: a defect, please report it"),
        }
        None
    }
}

type Lines = Option<mpsc::SyncSender<Record>>;

fn log(wanted: bool, to: Box<dyn Write + Send>) -> Result<(Option<Thread<()>>, Lines), Error> {
    if !wanted {
        return Ok((None, None));
    }
    let (sender, records) = mpsc::sync_channel(LOG_LINES);
    let write = move || access_log::write(&records, io::BufWriter::new(to));
    let thread = Thread::spawn("eastwest-log".to_owned(), write)?;
    Ok((Some(thread), Some(sender)))
}

fn workers(config: &Validated) -> Result<usize, Error> {
    match config.workers {
        0 => thread::available_parallelism()
            .map(Into::into)
            .map_err(Error::Thread),
        count => Ok(count),
    }
}

/// One of `count` nearly equal parts of `whole`.
fn part(whole: usize, index: usize, count: usize) -> usize {
    whole / count + usize::from(index < whole % count)
}

/// Lines that may wait for the log's writer.
const LOG_LINES: usize = 8192;
