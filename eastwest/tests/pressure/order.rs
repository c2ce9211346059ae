//! What a client orders of an endpoint, and how the two see that all of it is whole.
//!
//! The client sends the order, then its stream; the endpoint sends its own, and behind it
//! the digests of what it took and of what it gave. All is compared by the client.

use std::{sync::Arc, time::Duration};

use rustls::crypto::{aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256, hash};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    time::timeout,
};

use crate::world::pattern;

/// What a client wants: its number, and the length of both streams. An odd number ends
/// its half first.
#[derive(Clone, Copy)]
pub(crate) struct Order {
    pub(crate) seed: u64,
    pub(crate) length: u64,
}

impl Order {
    fn half_closes_first(self) -> bool {
        self.seed % 2 == 1
    }

    /// The client's part.
    pub(crate) async fn give(self, stream: impl AsyncRead + AsyncWrite, block: &[u8]) {
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
        moves(from.read_to_end(&mut digests)).await.unwrap();
        assert_eq!(digests.len(), 64, "connection {}", self.seed);
        assert_eq!(digests[..32], given, "to the endpoint, {}", self.seed);
        assert_eq!(digests[32..], taken, "to the client, {}", self.seed);
        to.shutdown().await.unwrap();
    }
}

/// The endpoint's part.
pub(crate) async fn answer(stream: impl AsyncRead + AsyncWrite, block: &[u8]) {
    let (mut from, mut to) = split(stream);
    let seed = from.read_u64().await.unwrap();
    let length = from.read_u64().await.unwrap();
    let order = Order { seed, length };
    let (taken, given) = if order.half_closes_first() {
        let taken = take(&mut from, length).await;
        assert_eq!(moves(from.read(&mut [0])).await.unwrap(), 0, "an end");
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

/// Bytes that all streams are cut from.
pub(crate) fn block() -> Arc<[u8]> {
    let mut block = vec![0; 1 << 20];
    pattern(0, &mut block);
    block.into()
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
        moves(to.write_all(chunk)).await.unwrap();
    }
    moves(to.flush()).await.unwrap();
    sha.finish().as_ref().to_vec()
}

/// Takes so many bytes; gives their digest.
async fn take(from: &mut (impl AsyncRead + Unpin), length: u64) -> Vec<u8> {
    let (mut sha, mut buffer, mut left) = (sha256(), vec![0; CHUNK], length);
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap());
        let count = moves(from.read(&mut buffer[..most])).await.unwrap();
        assert!(count > 0, "an end {left} bytes too early");
        sha.update(&buffer[..count]);
        left -= count as u64;
    }
    sha.finish().as_ref().to_vec()
}

/// What a connection does next; one that does nothing for so long hangs.
async fn moves<T>(next: impl Future<Output = T>) -> T {
    timeout(STILL, next).await.expect("it hangs")
}

fn sha256() -> Box<dyn hash::Context> {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    suite.common.hash_provider.start()
}

const CHUNK: usize = 64 << 10;
const STILL: Duration = Duration::from_secs(100);
