//! Long transfers, many at once, whole to the last byte: raw TCP and TLS, one half ended
//! first or both at work together, by splice and by copy.
//!
//! The client sends an order, then its stream; the endpoint sends its own, and behind it
//! the digests of what it took and of what it gave. All is compared by the client.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use rustls::crypto::{aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256, hash};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    process::Process,
    sockets::serve,
    trial,
    world::{Mesh, SNI, endpoint, hello, pattern, read_out},
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("raw_64_by_16_mib_are_whole_by_splice", raw_by_splice),
        trial("raw_64_by_16_mib_are_whole_by_copy", raw_by_copy),
        trial("tls_64_by_16_mib_are_whole", tls),
        trial("resets_within_bulk_arrive_as_resets", resets),
    ]
}

async fn raw_by_splice() {
    let gateway = Process::to("", &[(SNI, raw_endpoint().await)]);
    carry_raw("raw, splice", &gateway, LENGTH).await;
    assert_spliced(&gateway, LENGTH);
}

async fn raw_by_copy() {
    let gateway = Process::to("relay: { pipes: 0 }", &[(SNI, raw_endpoint().await)]);
    carry_raw("raw, copy", &gateway, LENGTH).await;
    assert_eq!(gateway.carried().0, 0.0);
}

async fn tls() {
    let mesh = Mesh::new();
    let acceptor = TlsAcceptor::from(mesh.server("helloworld", b"istio"));
    let (listener, address) = endpoint().await;
    let block = block();
    tokio::spawn(serve(listener, move |stream| {
        let (acceptor, block) = (acceptor.clone(), Arc::clone(&block));
        async move { answer(acceptor.accept(stream).await.unwrap(), &block).await }
    }));
    let gateway = Process::to("", &[(SNI, address)]);
    let connector = TlsConnector::from(mesh.client("client"));
    let to = gateway.address;
    carry("tls", &gateway, LENGTH, move || {
        let connector = connector.clone();
        async move {
            let tcp = TcpStream::connect(to).await.unwrap();
            let name = SNI.to_owned().try_into().unwrap();
            connector.connect(name, tcp).await.unwrap()
        }
    })
    .await;
}

/// Half of 32 connections are reset by the client, half by the endpoint, all while bytes
/// flow: the other side must not take it for an end.
async fn resets() {
    let (listener, address) = endpoint().await;
    let gateway = Process::to("", &[(SNI, address)]);
    for turn in 0..32 {
        let (mut one, mut other) = raw_pair(&gateway, &listener).await;
        if turn % 2 == 1 {
            std::mem::swap(&mut one, &mut other);
        }
        let reader = tokio::spawn(async move { read_out(&mut other).await });
        one.write_all(&vec![1; 1 << 20]).await.unwrap();
        SockRef::from(&one)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(one);
        let (_, end) = reader.await.unwrap();
        assert_eq!(end, Some(ErrorKind::ConnectionReset), "turn {turn}");
    }
    gateway.until_closed("client_reset", 16.0).await;
    gateway.until_closed("endpoint_reset", 16.0).await;
}

/// A connection through the gateway, both of whose ends the test holds.
async fn raw_pair(gateway: &Process, listener: &tokio::net::TcpListener) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    client.write_all(&hello(SNI)).await.unwrap();
    (client, crate::world::take(listener).await.0)
}

/// Of 64 connections of this length nearly all went through pipes.
pub(crate) fn assert_spliced(gateway: &Process, length: u64) {
    let (spliced, copied) = gateway.carried();
    let share = spliced / (spliced + copied);
    println!("splice share {:.2} %", 100.0 * share);
    assert!(spliced + copied >= (2 * 64 * length) as f64);
    assert!(share >= 0.95, "{spliced} {copied}");
}

/// An endpoint that follows the orders of raw clients.
pub(crate) async fn raw_endpoint() -> SocketAddr {
    let (listener, address) = endpoint().await;
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

/// 64 raw connections.
pub(crate) async fn carry_raw(what: &str, gateway: &Process, length: u64) {
    let (to, hello) = (gateway.address, hello(SNI));
    carry(what, gateway, length, move || {
        let hello = hello.clone();
        async move {
            let mut stream = TcpStream::connect(to).await.unwrap();
            stream.write_all(&hello).await.unwrap();
            stream
        }
    })
    .await;
}

/// 64 connections of `length` bytes each way; every second one ends its half before it
/// is answered.
async fn carry<S, F>(what: &str, gateway: &Process, length: u64, connect: impl Fn() -> F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = S> + Send + 'static,
{
    let (begin, block, mut clients) = (Instant::now(), block(), JoinSet::new());
    for seed in 0..64 {
        let (block, connecting) = (Arc::clone(&block), connect());
        let order = Order { seed, length };
        clients.spawn(async move { order.give(connecting.await, &block).await });
    }
    while let Some(whole) = clients.join_next().await {
        whole.unwrap();
    }
    gateway.until_closed("finished", 64.0).await;
    let mib = (2 * 64 * length) >> 20;
    let (took, resident) = (begin.elapsed(), gateway.resident() >> 10);
    println!("{what}: 64 connections, {mib} MiB whole in {took:.1?}, {resident} KiB resident");
}

/// What a client wants: its number, and the length of both streams. An odd number ends
/// its half first.
#[derive(Clone, Copy)]
struct Order {
    seed: u64,
    length: u64,
}

impl Order {
    fn half_closes_first(self) -> bool {
        self.seed % 2 == 1
    }

    async fn give(self, stream: impl AsyncRead + AsyncWrite, block: &[u8]) {
        let all = async {
            let (mut from, mut to) = split(stream);
            to.write_u64(self.seed).await.unwrap();
            to.write_u64(self.length).await.unwrap();
            let give = async {
                let given = give(&mut to, block, self.seed, self.length).await;
                if self.half_closes_first() {
                    to.shutdown().await.unwrap();
                }
                given
            };
            let (given, taken) = tokio::join!(give, take(&mut from, self.length));
            let mut digests = Vec::new();
            from.read_to_end(&mut digests).await.unwrap();
            assert_eq!(digests.len(), 64, "connection {}", self.seed);
            assert_eq!(digests[..32], given, "to the endpoint, {}", self.seed);
            assert_eq!(digests[32..], taken, "to the client, {}", self.seed);
            to.shutdown().await.unwrap();
        };
        timeout(LONG, all).await.expect("it hangs");
    }
}

/// The endpoint's part.
async fn answer(stream: impl AsyncRead + AsyncWrite, block: &[u8]) {
    let (mut from, mut to) = split(stream);
    let seed = from.read_u64().await.unwrap();
    let length = from.read_u64().await.unwrap();
    let order = Order { seed, length };
    let (taken, given) = if order.half_closes_first() {
        let taken = take(&mut from, length).await;
        assert_eq!(from.read(&mut [0]).await.unwrap(), 0, "an end");
        (taken, give(&mut to, block, !seed, length).await)
    } else {
        let both = (take(&mut from, length), give(&mut to, block, !seed, length));
        tokio::join!(both.0, both.1)
    };
    to.write_all(&[taken, given].concat()).await.unwrap();
    to.shutdown().await.unwrap();
    // The other half may end now, too.
    let _ = from.read(&mut [0]).await;
}

/// Sends the stream that follows from `seed`; gives its digest.
async fn give(to: &mut (impl AsyncWrite + Unpin), block: &[u8], seed: u64, length: u64) -> Vec<u8> {
    let mut sha = sha256();
    for step in 0..length / CHUNK as u64 {
        let mixed = seed
            .wrapping_mul(7919)
            .wrapping_add(step.wrapping_mul(104_729));
        let at = usize::try_from(mixed % (block.len() - CHUNK) as u64).unwrap();
        let chunk = &block[at..at + CHUNK];
        sha.update(chunk);
        to.write_all(chunk).await.unwrap();
    }
    to.flush().await.unwrap();
    sha.finish().as_ref().to_vec()
}

/// Takes so many bytes; gives their digest.
async fn take(from: &mut (impl AsyncRead + Unpin), length: u64) -> Vec<u8> {
    let (mut sha, mut buffer, mut left) = (sha256(), vec![0; 4 * CHUNK], length);
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap());
        let count = from.read(&mut buffer[..most]).await.unwrap();
        assert!(count > 0, "an end {left} bytes too early");
        sha.update(&buffer[..count]);
        left -= count as u64;
    }
    sha.finish().as_ref().to_vec()
}

fn sha256() -> Box<dyn hash::Context> {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    suite.common.hash_provider.start()
}

/// Bytes that all streams are cut from.
fn block() -> Arc<[u8]> {
    let mut block = vec![0; 1 << 20];
    pattern(0, &mut block);
    block.into()
}

const LENGTH: u64 = 16 << 20;
const CHUNK: usize = 64 << 10;
/// Nothing takes this long but what hangs.
const LONG: Duration = Duration::from_secs(120);
