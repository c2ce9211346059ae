//! Feeds the route table from its source: our discovery or an istiod by delta ADS, or a
//! file.
//!
//! Runs on a thread of its own: nothing here delays a connection, and a connection
//! never waits for it. The last table stays when the source is lost, and over a restart
//! when it is kept on disk ([`memory`]). What a source says
//! is understood in pure files ([`session`], [`decode`], [`resources`],
//! [`static_routes`]); `stream`, `call`, `connect` and `file` do what those decide.

pub mod backoff;
pub(crate) mod call;
pub(crate) mod connect;
pub mod decode;
pub(crate) mod file;
pub(crate) mod keep;
pub mod memory;
pub mod message;
pub mod node;
pub mod resources;
pub mod session;
pub mod standing;
pub mod static_routes;
pub(crate) mod stream;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use self::{connect::ControlPlane, standing::Board};
use crate::{
    listener::{
        ListenerSpec,
        keeper::{Keeper, Missing},
    },
    route::{Name, RouteSpec, Table},
    worker::Shared,
};

/// Where a source puts its routes, and says how it stands.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    shared: Arc<Shared>,
    pub(crate) board: Board,
    listeners: Arc<Mutex<Keeper>>,
    /// Signals each change of the table.
    pub(crate) changed: watch::Sender<()>,
}

/// Runs the source on the thread at hand until it is cancelled.
///
/// # Errors
/// When the runtime cannot be set up.
pub(crate) fn run(publisher: &Publisher, cancel: &CancellationToken) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let source = &publisher.shared.config.source;
    runtime.block_on(async {
        let follow = async {
            if let Some(path) = &source.file {
                file::follow(path, publisher).await;
            }
            if let Some(control_plane) = ControlPlane::of(source) {
                stream::follow(control_plane, publisher, cancel).await;
            }
        };
        let keep = async {
            if let Some(state) = &publisher.config().state {
                keep::keep(state, publisher, cancel).await;
            }
        };
        let listen = async {
            loop {
                sleep(LISTEN_AGAIN).await;
                publisher.listen_again();
            }
        };
        let until_cancelled = async { tokio::join!(follow, listen) };
        tokio::join!(cancel.run_until_cancelled(until_cancelled), keep);
    });
    Ok(())
}

impl Publisher {
    pub(crate) fn new(shared: &Arc<Shared>, board: &Board, listeners: Keeper) -> Self {
        Self {
            shared: Arc::clone(shared),
            board: board.clone(),
            listeners: Arc::new(Mutex::new(listeners)),
            changed: watch::Sender::new(()),
        }
    }

    /// Listens at these addresses beside the mesh's own; says where that is not possible yet.
    pub(crate) fn listen(&self, at: Vec<ListenerSpec>) -> Missing {
        let missing = self.keeper().keep(at);
        self.board.lock().missing.clone_from(&missing);
        missing
    }

    /// Tries those addresses again at which that was not possible.
    fn listen_again(&self) {
        if self.board.lock().missing.is_empty() {
            return;
        }
        let missing = self.keeper().try_again();
        self.board.lock().missing = missing;
    }

    /// The listeners that there are to be beside the mesh's own.
    pub(crate) fn listeners(&self) -> Vec<ListenerSpec> {
        self.keeper().wanted().to_vec()
    }

    fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes these the routes, all at once.
    pub(crate) fn publish(&self, specs: impl IntoIterator<Item = Arc<RouteSpec>>) {
        let next = self.shared.table.load().next(specs);
        self.shared.table.store(Arc::new(next));
        self.changed.send_replace(());
    }

    /// Gives these names other routes, all at once.
    pub(crate) fn change(&self, names: impl IntoIterator<Item = (Name, Vec<Arc<RouteSpec>>)>) {
        let next = self.shared.table.load().with(names);
        self.shared.table.store(Arc::new(next));
        self.changed.send_replace(());
    }

    /// The table now.
    pub(crate) fn table(&self) -> Arc<Table> {
        self.shared.table.load_full()
    }

    pub(crate) fn config(&self) -> &crate::config::Config {
        &self.shared.config
    }
}

/// An address is mostly taken by somebody who is about to end, as the gateway before this one.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
