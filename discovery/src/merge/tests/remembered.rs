//! A merge that begins with what a former one knew.

use std::time::{Duration, SystemTime};

use super::*;
use crate::{
    config::Config,
    snapshot::{Snapshot, Terms},
};

fn seen() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(7)
}

/// Both clusters have `hello` with a pod `a`; then all ends, and begins anew with what was
/// kept. Nothing is observed yet.
fn restarted() -> World {
    let mut world = World::with_hello(OWN);
    for (name, fact) in [
        ("hello", service(true)),
        ("a", pod("10.0.0.1")),
        ("hello-1", slice(&[("a", "10.0.0.1", true)])),
        ("only-there", service(true)),
    ] {
        world.apply(PEER, name, fact);
    }
    world.news(OWN, News::Identified("one".into()));
    world.news(PEER, News::Identified("two".into()));
    let mesh = world.0.publish();
    let known = world.0.known(&mesh).unwrap();
    let config: Config = serde_yaml_ng::from_str("cluster: c1").unwrap();
    let snapshot = Snapshot::of(&known, |_| seen(), &Terms::of(&config));
    let mut after = World(Merge::new(rules()));
    after.0.restore(snapshot);
    assert_eq!(after.0.mesh.services, mesh.services);
    assert_eq!(after.0.mesh.clusters, mesh.clusters);
    after
}

/// All kinds of a cluster are listed, `hello` with these objects.
fn list(world: &mut World, cluster: &str, facts: &[(&str, Fact)]) -> Effect {
    let mut effect = Effect::None;
    for kind in Kind::ALL {
        let facts = facts.iter().filter(|(_, fact)| kind_of(fact) == kind);
        let listed = facts.map(|(name, fact)| (key(name), fact.clone()));
        effect = effect.max(world.change(cluster, kind, Change::Listed(listed.collect())));
    }
    effect
}

fn remembers(world: &World, cluster: &str) -> bool {
    world.0.remembered().any(|(id, _)| id.as_str() == cluster)
}

/// Settings may be others than at the time of what is remembered.
#[test]
fn what_is_remembered_is_let_in_by_the_settings_of_today() {
    let mut world = World::with_hello(PEER);
    world.apply(PEER, "gw", gateway(&["10.0.0.9", "203.0.113.9"], true));
    world.news(OWN, News::Identified("one".into()));
    world.news(PEER, News::Identified("two".into()));
    let mesh = world.0.publish();
    let known = world.0.known(&mesh).unwrap();
    let config: Config = serde_yaml_ng::from_str("cluster: c1").unwrap();
    let import = Import {
        own_ranges: Some(vec!["10.0.0.0/24".parse().unwrap()]),
        allow_loopback: false,
    };
    let mut after = World(Merge::new(Rules { import, ..rules() }));
    after
        .0
        .restore(Snapshot::of(&known, |_| seen(), &Terms::of(&config)));
    assert!(after.endpoints(PEER).is_empty());
    assert_eq!(after.0.mesh.clusters[&PEER.into()].gateways.len(), 1);
}

#[test]
fn all_is_known_before_anything_is_observed() {
    let mut world = restarted();
    assert!(world.0.is_complete());
    assert_eq!(world.endpoints(PEER).len(), 1);
    assert_eq!(world.0.tallies()[&PEER.into()].remembered, Some(seen()));
    // To be followed is not to be known.
    assert_eq!(world.news(PEER, News::Joined), Effect::None);
    assert_eq!(
        world.news(PEER, News::Identified("two".into())),
        Effect::None
    );
    assert!(world.0.is_complete() && remembers(&world, PEER));
    assert_eq!(world.0.settle(), Effect::None);
}

#[test]
fn what_is_the_same_is_not_touched() {
    let mut world = restarted();
    let (shard, cluster) = (
        world.shard(PEER),
        world.0.mesh.clusters[&PEER.into()].clone(),
    );
    world.news(PEER, News::Joined);
    let facts = [
        ("hello", service(true)),
        ("a", pod("10.0.0.1")),
        ("hello-1", slice(&[("a", "10.0.0.1", true)])),
        ("only-there", service(true)),
    ];
    assert_eq!(list(&mut world, PEER, &facts), Effect::None);
    assert!(Arc::ptr_eq(&shard.unwrap(), &world.shard(PEER).unwrap()));
    assert!(Arc::ptr_eq(&cluster, &world.0.mesh.clusters[&PEER.into()]));
    assert!(!remembers(&world, PEER) && remembers(&world, OWN));
}

#[test]
fn what_is_gone_leaves_with_the_first_lists_and_not_before() {
    let mut world = restarted();
    world.news(PEER, News::Joined);
    let services = Change::Listed(vec![(key("hello"), service(true))]);
    assert_eq!(world.change(PEER, Kind::Service, services), Effect::None);
    assert_eq!(world.endpoints(PEER).len(), 1);
    let facts = [("hello", service(true))];
    assert_eq!(list(&mut world, PEER, &facts), Effect::Removal);
    assert_eq!(world.endpoints(PEER), []);
    let only_there = shard_of(&world.0.mesh, &PEER.into(), &key("only-there"));
    assert_eq!(only_there, None, "a whole service left");
    assert!(world.shard(OWN).is_some());
}

#[test]
fn a_cluster_that_no_secret_names_is_not_resurrected() {
    let mut world = restarted();
    assert_eq!(world.news(OWN, News::Roster([].into())), Effect::Removal);
    assert_eq!(world.shard(PEER), None);
    assert!(!world.0.mesh.clusters.contains_key(&PEER.into()));
    assert!(remembers(&world, OWN), "the own cluster needs no secret");
    let dropped = world.0.take_dropped();
    assert!(dropped[0].reason.contains("secret"), "{dropped:?}");
    assert_eq!(world.0.take_dropped(), []);
}

#[test]
fn a_secret_that_is_of_no_use_still_names_its_cluster() {
    let mut world = restarted();
    let named = News::Roster([PEER.into()].into());
    assert_eq!(world.news(OWN, named), Effect::None);
    assert_eq!(world.endpoints(PEER).len(), 1);
    assert_eq!(world.news(OWN, News::Roster([].into())), Effect::Removal);
}

#[test]
fn nothing_is_remembered_of_another_cluster() {
    let mut world = restarted();
    world.news(PEER, News::Joined);
    let other = News::Identified("nine".into());
    assert_eq!(world.news(PEER, other), Effect::Removal);
    assert_eq!(world.shard(PEER), None);
    assert_eq!(world.0.mesh.missing, [PEER.into()].into());
    let dropped = world.0.take_dropped();
    assert!(dropped[0].reason.contains("nine"), "{dropped:?}");
    let facts = [("hello", service(true))];
    assert_eq!(list(&mut world, PEER, &facts), Effect::Addition);
    assert!(world.0.is_complete());
}

#[test]
fn a_member_that_was_missing_and_is_none_any_more_holds_nothing_back() {
    let mut world = World::complete();
    world.news("c3", News::Joined);
    world.news(OWN, News::Identified("one".into()));
    let mesh = world.0.publish();
    let config: Config = serde_yaml_ng::from_str("cluster: c1").unwrap();
    let known = world.0.known(&mesh).unwrap();
    let snapshot = Snapshot::of(&known, |_| seen(), &Terms::of(&config));
    let mut after = World(Merge::new(rules()));
    after.0.restore(snapshot);
    let missing = ["c2".into(), "c3".into()].into();
    assert_eq!(after.0.mesh.missing, missing, "c2 never said who it is");
    assert!(!after.0.is_complete());
    after.news(PEER, News::Joined);
    let effect = after.news(OWN, News::Roster([PEER.into()].into()));
    assert_eq!(effect, Effect::Addition);
    assert_eq!(after.0.mesh.missing, [PEER.into()].into());
}
