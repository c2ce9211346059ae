//! A socket that can be frozen: while it is, nothing is read from it and nothing is written,
//! as if the other side had gone.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
};

/// A socket behind a gate.
pub(super) struct Gate {
    socket: TcpStream,
    frozen: watch::Receiver<bool>,
    resets: watch::Receiver<bool>,
    /// Waits for the thaw, while it is frozen.
    thaw: Option<BoxFuture<'static, ()>>,
}

impl Gate {
    pub(super) fn new(
        socket: TcpStream,
        frozen: watch::Receiver<bool>,
        resets: watch::Receiver<bool>,
    ) -> Self {
        Self {
            socket,
            frozen,
            resets,
            thaw: None,
        }
    }

    fn open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(thaw) = &mut self.thaw {
                ready!(thaw.as_mut().poll(cx));
                self.thaw = None;
            }
            if !*self.frozen.borrow() {
                return Poll::Ready(());
            }
            let mut frozen = self.frozen.clone();
            self.thaw = Some(Box::pin(async move {
                // When nobody is left who could thaw it, the server is gone and so is this.
                let _ = frozen.wait_for(|frozen| !frozen).await;
            }));
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if *self.resets.borrow() {
            // It closes anyway; as a reset where the system lets us.
            let _ =
                socket2::SockRef::from(&self.socket).set_linger(Some(std::time::Duration::ZERO));
        }
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.open(cx));
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gate {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.open(cx));
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.open(cx));
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.open(cx));
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
