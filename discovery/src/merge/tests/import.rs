//! What a peer may bring in, and when that is looked at again.

use super::*;

fn node(range: &str) -> Change<Fact> {
    let fact = NodeFact {
        pod_ranges: vec![range.parse().unwrap()],
        ..NodeFact::default()
    };
    Change::Applied(ObjectKey::new("", "n1"), Fact::Node(fact))
}

#[test]
fn a_peers_pod_in_our_ranges_leaves_when_they_become_known_and_comes_back() {
    let mut world = World::with_hello(PEER);
    assert_eq!(world.endpoints(PEER).len(), 1);
    let effect = world.change(OWN, Kind::Node, node("10.0.0.0/24"));
    assert_eq!(effect, Effect::Removal);
    assert!(world.endpoints(PEER).is_empty());
    assert_eq!(world.ignored(PEER, Ignored::OwnRange), 1);
    world.change(OWN, Kind::Node, node("10.0.1.0/24"));
    assert_eq!(world.endpoints(PEER).len(), 1);
    assert_eq!(world.ignored(PEER, Ignored::OwnRange), 0);
}

#[test]
fn our_own_pods_are_in_our_ranges() {
    let mut world = World::with_hello(OWN);
    world.change(OWN, Kind::Node, node("10.0.0.0/24"));
    assert_eq!(world.endpoints(OWN).len(), 1);
}

#[test]
fn a_peers_nodes_say_nothing_of_our_ranges() {
    let mut world = World::with_hello(PEER);
    world.change(PEER, Kind::Node, node("10.0.0.0/24"));
    assert_eq!(world.endpoints(PEER).len(), 1);
}

#[test]
fn a_peers_gateway_in_our_ranges_is_not_used_and_the_operator_is_told() {
    let mut world = World::complete();
    world.change(OWN, Kind::Node, node("10.0.0.0/24"));
    world.apply(
        PEER,
        "gw",
        gateway(&["10.0.0.9", "203.0.113.9", "169.254.169.254"], true),
    );
    let cluster = &world.0.mesh.clusters[&PEER.into()];
    let addresses: Vec<String> = cluster
        .gateways
        .iter()
        .map(|g| g.address.to_string())
        .collect();
    assert_eq!(addresses, ["203.0.113.9"]);
    let notes = world.0.tallies()[&PEER.into()].notes.join("\n");
    assert!(
        notes.contains("10.0.0.9 is not used: it is in our own"),
        "{notes}"
    );
    assert!(
        notes.contains("169.254.169.254 is not used: it is loopback"),
        "{notes}"
    );
    assert!(!notes.contains("203.0.113.9"), "{notes}");
}
