use std::net::TcpStream;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

fn spec(name: &str, address: SocketAddr) -> ListenerSpec {
    ListenerSpec {
        name: name.into(),
        address,
    }
}

fn keeper() -> (Keeper, [UnboundedReceiver<Change>; 2]) {
    let (a, b) = (unbounded_channel(), unbounded_channel());
    let keeper = Keeper::new(vec![a.0, b.0], &Relay::default());
    (keeper, [a.1, b.1])
}

fn free() -> SocketAddr {
    let any = TcpListener::bind("127.0.0.1:0").unwrap();
    any.local_addr().unwrap()
}

#[test]
fn every_worker_hears_of_each_listener_once_and_of_its_end() {
    let (mut keeper, mut workers) = keeper();
    let (one, other) = (free(), free());
    let wanted = [spec("a", one), spec("b", other)];
    for wanted in [&wanted[..], &wanted, &wanted[..1]] {
        assert_eq!(keeper.keep(wanted.to_vec()), Missing::new());
    }
    for worker in &mut workers {
        let mut told = Vec::new();
        while let Ok(change) = worker.try_recv() {
            told.push(match change {
                Change::Open { name, socket } => {
                    format!("+{name} {}", socket.local_addr().unwrap())
                }
                Change::Close { name, address } => format!("-{name} {address}"),
            });
        }
        let expected = [
            format!("+a {one}"),
            format!("+b {other}"),
            format!("-b {other}"),
        ];
        assert_eq!(told, expected);
    }
}

#[test]
fn one_that_moves_is_open_at_its_new_address_first() {
    let (mut keeper, [mut worker, _]) = keeper();
    let (old, new) = (free(), free());
    keeper.keep(vec![spec("a", old)]);
    keeper.keep(vec![spec("a", new)]);
    let changes: Vec<Change> = std::iter::from_fn(|| worker.try_recv().ok()).collect();
    assert!(matches!(
        &changes[..],
        [Change::Open { .. }, Change::Open { .. }, Change::Close { address, .. }]
            if *address == old
    ));
    assert!(TcpStream::connect(new).is_ok());
}

#[test]
fn one_that_cannot_be_had_hinders_no_other_and_is_tried_again() {
    let (mut keeper, _workers) = keeper();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = spec("busy", taken.local_addr().unwrap());
    let wanted = vec![busy, spec("free", free())];
    let missing = keeper.keep(wanted.clone());
    assert_eq!(missing.len(), 1);
    let why = &missing["busy"];
    assert!(why.contains("cannot listen on 127.0.0.1:"), "{why}");
    assert!(TcpStream::connect(wanted[1].address).is_ok());
    assert_eq!(keeper.try_again(), missing);
    drop(taken);
    assert_eq!(keeper.try_again(), Missing::new());
    assert!(TcpStream::connect(wanted[0].address).is_ok());
}
