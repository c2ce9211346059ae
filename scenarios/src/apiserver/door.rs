//! Where connections come in. It only accepts: what a connection asks is `serve`'s.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{gate::Gate, serve::Service};

/// The door of a server: a task that owns the listener and every connection.
pub(super) struct Door {
    listener: Option<TcpListener>,
    address: SocketAddr,
    tls: TlsAcceptor,
    service: Arc<Service>,
    connections: JoinSet<()>,
}

/// What to do with the door.
#[derive(Debug)]
pub(super) enum Order {
    /// End every connection.
    Cut(oneshot::Sender<()>),
    /// Close the port, and end every connection.
    Close(oneshot::Sender<()>),
    /// Open the same port again.
    Open(oneshot::Sender<Result<()>>),
}

impl Door {
    pub(super) fn new(
        listener: TcpListener,
        tls: TlsAcceptor,
        service: Arc<Service>,
    ) -> Result<Self> {
        Ok(Self {
            address: listener.local_addr()?,
            listener: Some(listener),
            tls,
            service,
            connections: JoinSet::new(),
        })
    }

    /// Accepts until nobody is left who could give orders.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                socket = accepted(self.listener.as_ref()) => self.welcome(socket),
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        // Whoever gave an order may have gone meanwhile: then nobody waits for the answer.
        match order {
            Order::Cut(done) => {
                self.cut().await;
                let _ = done.send(());
            }
            Order::Close(done) => {
                self.listener = None;
                self.cut().await;
                let _ = done.send(());
            }
            Order::Open(done) => {
                let opened = self.open().await;
                let _ = done.send(opened);
            }
        }
    }

    async fn cut(&mut self) {
        self.connections.shutdown().await;
    }

    async fn open(&mut self) -> Result<()> {
        if self.listener.is_none() {
            let listener = TcpListener::bind(self.address).await;
            self.listener =
                Some(listener.with_context(|| format!("cannot open {}", self.address))?);
        }
        Ok(())
    }

    fn welcome(&mut self, socket: TcpStream) {
        let faults = self.service.faults();
        let _ = socket.set_nodelay(true);
        let gate = Gate::new(socket, faults.frozen(), faults.resets());
        let (tls, service) = (self.tls.clone(), Arc::clone(&self.service));
        self.connections.spawn(async move {
            // A client that does not speak TLS, or leaves, is its own affair.
            if let Ok(stream) = tls.accept(gate).await {
                let answer = service_fn(move |request| {
                    let service = Arc::clone(&service);
                    async move { service.answer(request).await }
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
            }
        });
    }
}

/// The next connection; never, when the port is closed.
async fn accepted(listener: Option<&TcpListener>) -> TcpStream {
    loop {
        match listener {
            None => std::future::pending::<()>().await,
            Some(listener) => match listener.accept().await {
                Ok((socket, _)) => return socket,
                // Out of descriptors, most likely: others must end first.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            },
        }
    }
}
