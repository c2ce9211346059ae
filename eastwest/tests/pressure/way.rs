//! How clients and endpoints come together over the gateway.

use std::{net::SocketAddr, os::fd::AsFd, pin::Pin, sync::Arc};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    order::{answer, block},
    process::Process,
    sockets::serve,
    world::{Mesh, SNI, endpoint, hello},
};

/// How clients come to their endpoint.
pub(crate) trait Way {
    /// A stream whose other end is an endpoint that takes orders.
    fn connect(&self, seed: u64) -> Connecting;
}

/// A stream to be.
type Connecting = Pin<Box<dyn Future<Output = Box<dyn Stream>> + Send>>;

/// What bytes go over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A ClientHello, and behind it no TLS.
pub(crate) struct Raw(SocketAddr);

/// TLS with this server.
pub(crate) struct Tls(SocketAddr, TlsConnector, &'static str);

/// Two of four connections raw, the next two TLS.
pub(crate) struct Mixed(pub(crate) Raw, pub(crate) Tls);

impl Raw {
    pub(crate) fn to(gateway: &Process) -> Self {
        Self(gateway.address)
    }
}

impl Tls {
    pub(crate) fn to(gateway: &Process, mesh: &Mesh, sni: &'static str) -> Self {
        let connector = TlsConnector::from(mesh.client("client"));
        Self(gateway.address, connector, sni)
    }
}

impl Way for Raw {
    fn connect(&self, _: u64) -> Connecting {
        let to = self.0;
        Box::pin(async move {
            let mut stream = connect(to).await;
            stream.write_all(&hello(SNI)).await.unwrap();
            Box::new(stream) as Box<dyn Stream>
        })
    }
}

impl Way for Tls {
    fn connect(&self, _: u64) -> Connecting {
        let (to, connector, sni) = (self.0, self.1.clone(), self.2);
        Box::pin(async move {
            let tcp = connect(to).await;
            let name = sni.to_owned().try_into().unwrap();
            Box::new(connector.connect(name, tcp).await.unwrap()) as Box<dyn Stream>
        })
    }
}

impl Way for Mixed {
    fn connect(&self, seed: u64) -> Connecting {
        match seed / 2 % 2 {
            0 => self.0.connect(seed),
            _ => self.1.connect(seed),
        }
    }
}

/// An endpoint that follows the orders of raw clients.
pub(crate) async fn raw_endpoint() -> SocketAddr {
    let (listener, address) = endpoint().await;
    narrow(&listener);
    let block = block();
    tokio::spawn(serve(listener, move |mut stream| {
        let block = Arc::clone(&block);
        async move {
            let mut skipped = vec![0; 5];
            stream.read_exact(&mut skipped).await.unwrap();
            let length = usize::from(u16::from_be_bytes([skipped[3], skipped[4]]));
            skipped.resize(length, 0);
            stream.read_exact(&mut skipped).await.unwrap();
            answer(stream, &block).await;
        }
    }));
    address
}

/// One that follows those of TLS clients.
pub(crate) async fn tls_endpoint(mesh: &Mesh) -> SocketAddr {
    let acceptor = TlsAcceptor::from(mesh.server("helloworld", b"istio"));
    let (listener, address) = endpoint().await;
    narrow(&listener);
    let block = block();
    tokio::spawn(serve(listener, move |stream| {
        let (acceptor, block) = (acceptor.clone(), Arc::clone(&block));
        async move { answer(acceptor.accept(stream).await.unwrap(), &block).await }
    }));
    address
}

async fn connect(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    narrow(&socket);
    socket.connect(to).await.unwrap()
}

/// Both ends are slow readers, being one process with sums to make. What they have not
/// read must not use up what the kernel has for all of TCP: it would drop packets.
fn narrow(socket: &impl AsFd) {
    SockRef::from(socket).set_recv_buffer_size(WINDOW).unwrap();
}

const WINDOW: usize = 256 << 10;
