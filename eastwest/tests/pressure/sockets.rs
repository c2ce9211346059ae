//! Sockets and endpoints that the tests play.

use std::net::{IpAddr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::world::{endpoint, hello};

/// Where the hostile come from, so that their neighbour is another source.
pub(crate) const HOSTILE: [u8; 4] = [127, 0, 0, 2];

/// As many descriptors as this process may have.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// Whether this process may open so many descriptors at once.
pub(crate) fn may_open(count: u64) -> bool {
    let limit = getrlimit(Resource::Nofile).maximum;
    limit.is_none_or(|limit| limit >= count)
}

/// A connection from the hostile source.
pub(crate) async fn hostile(to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((IpAddr::from(HOSTILE), 0).into())?;
    socket.connect(to).await
}

/// A connection from the hostile source that asks for this name.
pub(crate) async fn hostile_asks(to: SocketAddr, sni: &str) -> TcpStream {
    let mut client = hostile(to).await.unwrap();
    client.write_all(&hello(sni)).await.unwrap();
    client
}

/// An endpoint that says everything back.
pub(crate) async fn echo() -> SocketAddr {
    let (listener, address) = endpoint().await;
    tokio::spawn(serve(listener, |mut stream| async move {
        let (mut from, mut to) = stream.split();
        // Its peers end as they like.
        let _ = tokio::io::copy(&mut from, &mut to).await;
    }));
    address
}

/// An endpoint that reads nothing and never stops talking.
pub(crate) async fn flood() -> SocketAddr {
    let (listener, address) = endpoint().await;
    tokio::spawn(serve(listener, |mut stream| async move {
        let block = vec![7; 1 << 20];
        while stream.write_all(&block).await.is_ok() {}
    }));
    address
}

/// An endpoint that takes connections, and waits for them to end.
pub(crate) async fn quiet() -> SocketAddr {
    let (listener, address) = endpoint().await;
    tokio::spawn(serve(listener, |mut stream| async move {
        let mut said = [0; 1024];
        while stream.read(&mut said).await.is_ok_and(|count| count > 0) {}
    }));
    address
}

/// Does the same with every connection, until the runtime ends.
pub(crate) async fn serve<F>(listener: TcpListener, each: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = tasks.join_next() => if let Err(error) = ended {
                // With the runtime, they are cancelled.
                assert!(!error.is_panic(), "{error}");
            },
            accepted = listener.accept() => { tasks.spawn(each(accepted.unwrap().0)); }
        }
    }
}
