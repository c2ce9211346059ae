//! Opens and closes listeners as the picture says. A listener that changes keeps its socket
//! and its connections; one that is gone takes no more, and the connections it has go on.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, sync::watch, time::sleep};
use tracing::{info, warn};
use trust::tls::LiveCredential;

use super::{
    entrance::Entrance, owner::Owner, picture::Picture, resource::Listener, status::Status,
};

/// Keeps the listeners until dropped.
pub(super) async fn keep(
    mut pictures: watch::Receiver<Arc<Picture>>,
    live: LiveCredential,
    status: Status,
    owner: Owner,
) {
    let mut listeners = Listeners {
        open: BTreeMap::new(),
        pictures: pictures.clone(),
        live,
        owner,
    };
    loop {
        let picture = Arc::clone(&pictures.borrow_and_update());
        let problems = listeners.follow(&picture).await;
        let again = !problems.is_empty();
        status.listening(listeners.addresses(), problems);
        tokio::select! {
            changed = pictures.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = sleep(AGAIN), if again => {}
        }
    }
}

struct Listeners {
    open: BTreeMap<String, Open>,
    pictures: watch::Receiver<Arc<Picture>>,
    live: LiveCredential,
    owner: Owner,
}

/// An open listener. Dropping it closes its socket.
struct Open {
    address: SocketAddr,
    listener: Arc<Listener>,
    entrance: watch::Sender<Entrance>,
    accepting: Owner,
}

impl Listeners {
    /// Opens, changes and closes; returns what could not be done.
    async fn follow(&mut self, picture: &Picture) -> Vec<String> {
        let wanted = picture.listeners();
        self.open.retain(|name, _| wanted.contains_key(name));
        let mut problems = Vec::new();
        for (name, listener) in wanted {
            let known = self.open.get(name);
            if known.is_some_and(|open| Arc::ptr_eq(&open.listener, listener)) {
                continue;
            }
            if let Err(error) = self.open(name, listener).await {
                warn!(listener = name, error = format!("{error:#}"), "not open");
                problems.push(format!("{name}: {error:#}"));
            }
        }
        problems
    }

    async fn open(&mut self, name: &str, listener: &Arc<Listener>) -> Result<()> {
        let entrance = Entrance::new(listener, &self.live, &self.pictures, &self.owner)?;
        let address = listener.address;
        if let Some(open) = self.open.get_mut(name)
            && open.address == address
        {
            open.entrance.send_replace(entrance);
            open.listener = Arc::clone(listener);
            return Ok(());
        }
        let socket = TcpListener::bind(address).await;
        let socket = socket.with_context(|| format!("cannot listen on {address}"))?;
        let (entrance, seen) = watch::channel(entrance);
        let accepting = self.owner.child();
        accepting.spawn(accept(socket, seen, self.owner.clone()));
        info!(listener = name, %address, "open");
        let open = Open {
            address,
            listener: Arc::clone(listener),
            entrance,
            accepting,
        };
        self.open.insert(name.to_owned(), open);
        Ok(())
    }

    fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        let open = self.open.iter();
        open.map(|(name, open)| (name.clone(), open.address))
            .collect()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.accepting.end();
    }
}

/// Accepts, and only accepts.
async fn accept(socket: TcpListener, entrance: watch::Receiver<Entrance>, connections: Owner) {
    loop {
        match socket.accept().await {
            Ok((tcp, _)) => {
                let entrance = entrance.borrow().clone();
                connections.spawn(entrance.admit(tcp));
            }
            Err(error) => {
                warn!(%error, "accepting paused");
                sleep(PAUSE).await;
            }
        }
    }
}

/// When a listener that could not be opened is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long accepting pauses when the process is out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
