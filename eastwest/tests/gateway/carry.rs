//! Bytes both ways: whole, by splice and by copy; ends and resets as they were meant.

use std::{io::ErrorKind, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

use crate::world::*;

const LONG: u64 = 64 << 20;

/// A connection through the gateway, both of whose ends the test holds.
async fn through(world: &World, listener: &tokio::net::TcpListener) -> (TcpStream, TcpStream) {
    let client = world.say_hello().await;
    let (server, _) = take(listener).await;
    (client, server)
}

fn write_pattern(mut to: OwnedWriteHalf, length: u64) -> JoinHandle<OwnedWriteHalf> {
    tokio::spawn(async move {
        let mut buffer = vec![0; 256 << 10];
        for from in (0..length).step_by(buffer.len()) {
            pattern(from, &mut buffer);
            let count = usize::try_from(length - from).unwrap().min(buffer.len());
            to.write_all(&buffer[..count]).await.unwrap();
        }
        to.shutdown().await.unwrap();
        to
    })
}

/// Reads to the end, compares every byte, and gives the length.
fn read_pattern(mut from: OwnedReadHalf) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let (mut at, mut buffer, mut expected) = (0, vec![0; 256 << 10], vec![0; 256 << 10]);
        loop {
            let count = from.read(&mut buffer).await.unwrap();
            if count == 0 {
                return at;
            }
            pattern(at, &mut expected[..count]);
            assert!(buffer[..count] == expected[..count], "differs near {at}");
            at += count as u64;
        }
    })
}

/// Sends `LONG` bytes both ways at once; says how many were spliced and copied.
async fn long_transfer(settings: &str) -> (f64, f64) {
    let (listener, address) = endpoint().await;
    let world = World::to(settings, &[address]);
    let (client, server) = through(&world, &listener).await;
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let writers = (
        write_pattern(to_client, LONG),
        write_pattern(to_server, LONG),
    );
    let (up, down) = (read_pattern(from_server), read_pattern(from_client));
    assert_eq!((up.await.unwrap(), down.await.unwrap()), (LONG, LONG));
    let _ = (writers.0.await.unwrap(), writers.1.await.unwrap());
    world.until_closed("finished", 1.0).await;
    let by = |way: &str| {
        let label = format!("by=\"{way}\"");
        world.metric("isthmus_eastwest_relayed_bytes_total", &[&label])
    };
    (by("splice"), by("copy"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_transfers_are_whole_by_splice() {
    let (spliced, copied) = long_transfer("").await;
    assert!(spliced / (spliced + copied) > 0.95, "{spliced} {copied}");
    assert!(spliced + copied >= (2 * LONG) as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_transfers_are_whole_by_copy_without_pipes() {
    let (spliced, copied) = long_transfer("relay: { pipes: 0 }").await;
    assert_eq!(spliced, 0.0);
    assert!(copied >= (2 * LONG) as f64);
}

#[tokio::test]
async fn one_half_ends_and_the_other_goes_on() {
    let (listener, address) = endpoint().await;
    let world = World::to("", &[address]);
    for client_first in [true, false] {
        let (client, server) = through(&world, &listener).await;
        let (mut first, mut second) = if client_first {
            (client, server)
        } else {
            (server, client)
        };
        first.write_all(b"early").await.unwrap();
        first.shutdown().await.unwrap();
        assert_eq!(read_out(&mut second).await, (b"early".to_vec(), None));
        second.write_all(b"late").await.unwrap();
        second.shutdown().await.unwrap();
        assert_eq!(read_out(&mut first).await, (b"late".to_vec(), None));
    }
    world.until_closed("finished", 2.0).await;
}

#[tokio::test]
async fn a_client_that_ends_its_half_at_once_is_still_answered() {
    let (listener, address) = endpoint().await;
    let world = World::to("", &[address]);
    let mut client = world.say_hello().await;
    client.shutdown().await.unwrap();
    let (mut server, _) = take(&listener).await;
    assert_eq!(read_out(&mut server).await, (Vec::new(), None));
    server.write_all(b"answer").await.unwrap();
    drop(server);
    assert_eq!(read_out(&mut client).await, (b"answer".to_vec(), None));
}

#[tokio::test]
async fn a_reset_is_passed_on_as_a_reset() {
    let (listener, address) = endpoint().await;
    let world = World::to("", &[address]);
    let (client, mut server) = through(&world, &listener).await;
    reset(client);
    assert_eq!(
        read_out(&mut server).await.1,
        Some(ErrorKind::ConnectionReset)
    );
    world.until_closed("client_reset", 1.0).await;
    let (mut client, server) = through(&world, &listener).await;
    reset(server);
    assert_eq!(
        read_out(&mut client).await.1,
        Some(ErrorKind::ConnectionReset)
    );
    world.until_closed("endpoint_reset", 1.0).await;
}

#[tokio::test]
async fn what_an_endpoint_said_before_its_reset_arrives() {
    let (listener, address) = endpoint().await;
    let world = World::to("", &[address]);
    let (mut client, mut server) = through(&world, &listener).await;
    server.write_all(b"last words").await.unwrap();
    // Unread bytes make its end a reset.
    client.write_all(b"not read").await.unwrap();
    server.peek(&mut [0]).await.unwrap();
    drop(server);
    let mut words = [0; 10];
    client.read_exact(&mut words).await.unwrap();
    assert_eq!(&words, b"last words");
    assert_eq!(
        read_out(&mut client).await.1,
        Some(ErrorKind::ConnectionReset)
    );
}

/// Both sides may be full: nobody reads, and the reset has to be noticed all the same.
#[tokio::test]
async fn a_reset_is_seen_while_the_other_side_does_not_read() {
    let (listener, address) = endpoint().await;
    for settings in ["", "relay: { pipes: 0 }"] {
        let world = World::to(settings, &[address]);
        let (client, server) = through(&world, &listener).await;
        fill(&client).await;
        reset(client);
        world.until_closed("client_reset", 1.0).await;
        drop(server);
        let (client, server) = through(&world, &listener).await;
        fill(&server).await;
        reset(server);
        world.until_closed("endpoint_reset", 1.0).await;
        drop(client);
    }
}

#[tokio::test]
async fn a_reader_that_stops_loses_nothing_when_it_goes_on() {
    let (listener, address) = endpoint().await;
    for settings in ["", "relay: { pipes: 0 }"] {
        let world = World::to(settings, &[address]);
        let (client, server) = through(&world, &listener).await;
        let (_from_client, to_client) = client.into_split();
        let writer = write_pattern(to_client, LONG / 4);
        eventually("the flow stands still", stands_still(&world)).await;
        let (from_server, _to_server) = server.into_split();
        assert_eq!(read_pattern(from_server).await.unwrap(), LONG / 4);
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_ended() {
    let (listener, address) = endpoint().await;
    let world = World::to("relay: { idle: 2s }", &[address]);
    let (mut client, mut server) = through(&world, &listener).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.write_all(b"x").await.unwrap();
    }
    let begin = std::time::Instant::now();
    assert_eq!(read_out(&mut client).await, (b"xxxxx".to_vec(), None));
    assert!(begin.elapsed() >= Duration::from_millis(1500));
    world.until_closed("idle", 1.0).await;
}

/// Whether the relayed bytes did not change for a while.
fn stands_still(world: &World) -> impl FnMut() -> bool {
    let (mut last, mut same) = (0.0, 0);
    move || {
        let now: f64 = ["by=\"splice\"", "by=\"copy\""]
            .map(|way| world.metric("isthmus_eastwest_relayed_bytes_total", &[way]))
            .iter()
            .sum();
        same = if now == last && now > 0.0 {
            same + 1
        } else {
            0
        };
        last = now;
        same > 20
    }
}

/// Writes until nothing more goes in for a while.
async fn fill(to: &TcpStream) {
    let block = vec![0; 1 << 20];
    let mut quiet = 0;
    while quiet < 30 {
        match to.try_write(&block) {
            Ok(_) => quiet = 0,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                quiet += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(e) => panic!("{e}"),
        }
    }
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}
