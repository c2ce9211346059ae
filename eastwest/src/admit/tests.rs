use super::*;

fn gate(connections: u32, per_source: u32, hellos: u32, hellos_per_source: u32) -> Arc<Gate> {
    Gate::new(&Limits {
        connections,
        connections_per_source: per_source,
        waiting_hellos: hellos,
        waiting_hellos_per_source: hellos_per_source,
    })
}

fn peer(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn refused(gate: &Arc<Gate>, peer: IpAddr) -> Option<Close> {
    gate.enter(peer).err()
}

#[test]
fn the_newest_is_refused_until_one_leaves() {
    let gate = gate(2, 9, 9, 9);
    let first = gate.enter(peer(1)).unwrap();
    let _second = gate.enter(peer(2)).unwrap();
    assert_eq!(refused(&gate, peer(3)), Some(Close::TooManyConnections));
    assert_eq!(refused(&gate, peer(3)), Some(Close::TooManyConnections));
    drop(first);
    assert_eq!(refused(&gate, peer(3)), None);
}

#[test]
fn one_source_takes_no_place_of_another() {
    let gate = gate(9, 2, 9, 9);
    let own: Vec<_> = (0..2).map(|_| gate.enter(peer(1)).unwrap()).collect();
    let full = Some(Close::TooManyConnectionsOfSource);
    assert_eq!(refused(&gate, peer(1)), full);
    assert_eq!(refused(&gate, peer(2)), None);
    drop(own);
    assert_eq!(refused(&gate, peer(1)), None);
}

#[test]
fn a_whole_hello_makes_room_for_the_next() {
    let gate = gate(9, 9, 2, 9);
    let mut first = gate.enter(peer(1)).unwrap();
    let _second = gate.enter(peer(2)).unwrap();
    assert_eq!(refused(&gate, peer(3)), Some(Close::TooManyHellos));
    first.settle();
    first.settle();
    assert_eq!(gate.waiting(), 1);
    let _third = gate.enter(peer(3)).unwrap();
    assert_eq!(refused(&gate, peer(4)), Some(Close::TooManyHellos));
}

#[test]
fn the_hellos_of_one_source_wait_on_its_own_account() {
    let gate = gate(9, 9, 9, 1);
    let mut first = gate.enter(peer(1)).unwrap();
    assert_eq!(refused(&gate, peer(1)), Some(Close::TooManyHellosOfSource));
    let _other = gate.enter(peer(2)).unwrap();
    first.settle();
    let _second = gate.enter(peer(1)).unwrap();
}

#[test]
fn who_is_refused_is_counted_nowhere_and_who_left_is_forgotten() {
    let gate = gate(9, 3, 9, 1);
    let first = gate.enter(peer(1)).unwrap();
    for _ in 0..5 {
        assert!(gate.enter(peer(1)).is_err());
    }
    let one = Occupancy {
        source: peer(1),
        connections: 1,
        waiting_hellos: 1,
    };
    assert_eq!(gate.largest(9), [one]);
    assert_eq!((gate.inside.get(), gate.waiting()), (1, 1));
    drop(first);
    assert_eq!((gate.inside.get(), gate.waiting()), (0, 0));
    assert!(gate.sources.is_empty());
    let full = self::gate(0, 9, 9, 9);
    assert!(full.enter(peer(1)).is_err());
    assert!(full.sources.is_empty());
}

#[test]
fn a_source_is_an_ipv4_address_or_an_ipv6_network() {
    let of = |text: &str| network(text.parse().unwrap()).to_string();
    assert_eq!(of("10.0.0.1"), "10.0.0.1");
    assert_eq!(of("::ffff:10.0.0.1"), "10.0.0.1");
    assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
}

#[test]
fn the_largest_come_first() {
    let gate = gate(9, 9, 9, 9);
    let _in: Vec<_> = [2, 1, 3, 1]
        .into_iter()
        .map(|last| gate.enter(peer(last)).unwrap())
        .collect();
    let sources = gate.largest(2).into_iter().map(|s| s.source);
    assert_eq!(sources.collect::<Vec<_>>(), [peer(1), peer(2)]);
}
