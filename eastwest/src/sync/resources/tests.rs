use prost::Message;

use super::*;
use crate::sync::decode::tests::{assignment, cluster, endpoint, listener};

fn update(kind: Kind, resources: Vec<(&str, Vec<u8>)>, removed: &[&str]) -> Update {
    let own = |(name, bytes): (&str, Vec<u8>)| (name.to_owned(), bytes.into());
    Update {
        kind,
        resources: resources.into_iter().map(own).collect(),
        removed: removed.iter().map(|&name| name.to_owned()).collect(),
        whole: false,
    }
}

fn clusters(names: &[&str]) -> Update {
    let each = names
        .iter()
        .map(|&name| (name, cluster(name).encode_to_vec()));
    update(Kind::Cluster, each.collect(), &[])
}

fn endpoints(name: &str, addresses: &[&str]) -> Update {
    let endpoints = addresses.iter().map(|a| endpoint(a)).collect();
    let bytes = assignment(name, endpoints).encode_to_vec();
    update(Kind::Assignment, vec![(name, bytes)], &[])
}

fn door() -> Update {
    update(
        Kind::Listener,
        vec![("mesh", listener().encode_to_vec())],
        &[],
    )
}

fn names(resources: &Resources) -> Vec<String> {
    let mut names: Vec<String> = resources.routes().map(|r| r.sni.to_string()).collect();
    names.sort();
    names
}

fn whole(mut update: Update) -> Update {
    update.whole = true;
    update
}

/// A control plane that said everything about `a` and `b`.
fn told() -> Resources {
    let mut resources = Resources::default();
    resources.apply(clusters(&["a", "b"]));
    resources.apply(door());
    resources.apply(endpoints("a", &["10.0.0.1:1"]));
    resources.apply(endpoints("b", &["10.0.0.2:1"]));
    resources
}

#[test]
fn nothing_is_open_without_a_door() {
    let mut resources = Resources::default();
    let applied = resources.apply(clusters(&["a"]));
    assert!(!applied.changed);
    assert_eq!(names(&resources), [""; 0]);
    assert!(resources.apply(door()).changed);
    assert_eq!(names(&resources), ["a"]);
    assert_eq!(*resources.wanted(), ["a".into()].into());
}

#[test]
fn it_is_complete_once_every_question_is_answered() {
    let mut resources = Resources::default();
    assert!(!resources.is_complete());
    resources.apply(clusters(&["a", "b"]));
    resources.apply(door());
    resources.apply(endpoints("a", &[]));
    assert!(!resources.is_complete());
    resources.apply(endpoints("b", &[]));
    assert!(resources.is_complete());
    let mut empty = Resources::default();
    empty.apply(whole(clusters(&[])));
    empty.apply(whole(update(Kind::Listener, vec![], &[])));
    assert!(empty.is_complete());
}

#[test]
fn the_same_bytes_change_nothing_and_other_routes_stay_as_they_are() {
    let mut resources = told();
    assert_eq!(resources.apply(clusters(&["a"])), Applied::default());
    assert_eq!(resources.apply(door()), Applied::default());
    let b = route(&resources, "b");
    assert!(resources.apply(endpoints("a", &["10.0.0.3:1"])).changed);
    assert!(Arc::ptr_eq(&b, &route(&resources, "b")));
    assert_eq!(address(&resources, "a").unwrap(), "10.0.0.3:1");
}

#[test]
fn a_removed_cluster_takes_its_route_and_endpoints_along() {
    let mut resources = told();
    assert!(
        resources
            .apply(update(Kind::Cluster, vec![], &["a"]))
            .changed
    );
    assert_eq!(names(&resources), ["b"]);
    assert_eq!(*resources.wanted(), ["b".into()].into());
    // The answer to the old question arrives late.
    resources.apply(endpoints("a", &["10.0.0.1:1"]));
    resources.apply(clusters(&["a"]));
    assert_eq!(route(&resources, "a").endpoints, []);
}

#[test]
fn a_whole_set_removes_what_it_does_not_name() {
    let mut resources = told();
    assert!(resources.apply(whole(clusters(&["b", "c"]))).changed);
    assert_eq!(names(&resources), ["b", "c"]);
    assert_eq!(route(&resources, "b").endpoints.len(), 1);
    assert!(
        resources
            .apply(whole(update(Kind::Listener, vec![], &[])))
            .changed
    );
    assert_eq!(names(&resources), [""; 0]);
}

#[test]
fn what_cannot_be_decoded_is_refused_and_the_rest_is_taken() {
    let mut resources = told();
    let c = cluster("c").encode_to_vec();
    let applied = resources.apply(update(
        Kind::Cluster,
        vec![("a", vec![0xff; 9]), ("c", c)],
        &[],
    ));
    assert_eq!(applied.refused.len(), 1);
    assert_eq!(applied.refused[0].0, "a");
    assert_eq!(names(&resources), ["a", "b", "c"]);
    assert_eq!(route(&resources, "a").endpoints.len(), 1);
}

#[test]
fn what_is_not_understood_is_closed_and_named() {
    let mut resources = told();
    let mut tls = cluster("a");
    tls.transport_socket = Some(Default::default());
    let applied = resources.apply(update(Kind::Cluster, vec![("a", tls.encode_to_vec())], &[]));
    assert!(applied.changed && applied.refused.is_empty());
    assert_eq!(names(&resources), ["b"]);
    let quarantined: Vec<_> = resources.quarantined().collect();
    assert_eq!(quarantined.len(), 1);
    assert_eq!(quarantined[0].0, (Kind::Cluster, "a".to_owned()));
    resources.apply(clusters(&["a"]));
    assert_eq!(names(&resources), ["a", "b"]);
    assert_eq!(resources.quarantined().count(), 0);
}

#[test]
fn a_door_that_is_not_understood_closes_everything() {
    let mut resources = told();
    let mut any = listener();
    any.filter_chains[0].filter_chain_match = None;
    let update = update(Kind::Listener, vec![("mesh", any.encode_to_vec())], &[]);
    assert!(resources.apply(update).changed);
    assert_eq!(names(&resources), [""; 0]);
    resources.apply(door());
    assert_eq!(names(&resources), ["a", "b"]);
}

fn remembering(addresses: &[(&str, &str)]) -> Resources {
    let mut before = Resources::default();
    let names: Vec<&str> = addresses.iter().map(|(name, _)| *name).collect();
    before.apply(clusters(&names));
    before.apply(door());
    for (name, address) in addresses {
        before.apply(endpoints(name, &[address]));
    }
    Resources::remembering(before.routes(), before.listeners())
}

fn route(resources: &Resources, name: &str) -> Arc<RouteSpec> {
    resources
        .routes()
        .find(|route| &*route.sni == name)
        .unwrap()
}

fn address(resources: &Resources, name: &str) -> Option<String> {
    let route = resources.routes().find(|route| &*route.sni == name)?;
    Some(route.endpoints.first()?.address.to_string())
}

#[test]
fn a_remembered_route_stays_until_all_was_said_about_it() {
    let said = [
        whole(clusters(&["a", "b"])),
        whole(door()),
        endpoints("a", &["10.0.0.9:1"]),
    ];
    // In any order: endpoints are asked for only after clusters and chains.
    for order in [[0, 1, 2], [1, 0, 2]] {
        let mut resources = remembering(&[("a", "10.0.0.1:1"), ("b", "10.0.0.2:1")]);
        for step in order {
            assert_eq!(address(&resources, "a").unwrap(), "10.0.0.1:1");
            resources.apply(said[step].clone());
        }
        assert_eq!(address(&resources, "a").unwrap(), "10.0.0.9:1");
        assert_eq!(address(&resources, "b").unwrap(), "10.0.0.2:1");
        assert!(resources.is_remembering());
        assert!(resources.apply(endpoints("b", &[])).changed);
        assert_eq!(address(&resources, "b"), None);
        assert_eq!(names(&resources), ["a", "b"]);
        assert!(!resources.is_remembering());
    }
}

#[test]
fn a_remembered_route_leaves_with_its_cluster_and_with_the_door() {
    let all = [("a", "10.0.0.1:1"), ("b", "10.0.0.2:1")];
    let mut resources = remembering(&all);
    assert!(!resources.apply(whole(door())).changed);
    assert!(resources.apply(whole(clusters(&["a"]))).changed);
    assert_eq!(names(&resources), ["a"]);
    let removed = update(Kind::Cluster, Vec::new(), &["a"]);
    assert!(resources.apply(removed).changed);
    assert_eq!(names(&resources), [""; 0]);

    let mut resources = remembering(&all);
    resources.apply(whole(clusters(&["a", "b"])));
    let no_door = whole(update(Kind::Listener, Vec::new(), &[]));
    assert!(resources.apply(no_door).changed);
    assert_eq!(names(&resources), [""; 0]);

    let mut resources = remembering(&all);
    resources.apply(whole(clusters(&[])));
    assert!(resources.is_remembering());
    resources.apply(whole(door()));
    assert!(!resources.is_remembering());
}
