mod changes;

use envoy_types::{
    pb::{
        envoy::{
            config::{
                cluster::v3::cluster::{
                    CommonLbConfig,
                    common_lb_config::{LocalityConfigSpecifier, LocalityWeightedLbConfig},
                },
                listener::v3::{FilterChain, FilterChainMatch, Listener as ListenerMessage},
            },
            extensions::filters::network::tcp_proxy::v3::{
                TcpProxy,
                tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight},
            },
        },
        google::protobuf::UInt32Value,
    },
    util::pack_any,
};
use prost::Message;

use super::*;
use crate::{
    route::EndpointSpec,
    sync::decode::tests::{address as socket, assignment, cluster, endpoint, filter, listener},
};

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

const PLAIN: &str = "outbound|443||istiod.istio-system.svc.cluster.local";

/// A listener in istiod's shape, whose chains lead to these clusters, each with its share.
fn leading(chains: &[&[(&str, u32)]]) -> Update {
    let chain = |(number, to): (usize, &&[(&str, u32)])| {
        let clusters = to.iter().map(|(name, weight)| ClusterWeight {
            name: (*name).to_owned(),
            weight: *weight,
            ..Default::default()
        });
        let clusters = clusters.collect();
        let proxy = TcpProxy {
            cluster_specifier: Some(ClusterSpecifier::WeightedClusters(WeightedCluster {
                clusters,
            })),
            ..Default::default()
        };
        FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                server_names: vec![format!("name-{number}")],
                application_protocols: vec!["istio".to_owned()],
                ..Default::default()
            }),
            filters: vec![filter(pack_any(proxy))],
            ..Default::default()
        }
    };
    let listener = ListenerMessage {
        name: "l".to_owned(),
        address: Some(socket("0.0.0.0:15443")),
        filter_chains: chains.iter().enumerate().map(chain).collect(),
        ..Default::default()
    };
    update(Kind::Listener, vec![("l", listener.encode_to_vec())], &[])
}

#[test]
fn a_plain_cluster_is_looked_at_only_when_a_chain_leads_to_it_and_then_asked_for_again() {
    let mut resources = Resources::default();
    let broken = (PLAIN, vec![0xff; 9]);
    let sni = ("a", cluster("a").encode_to_vec());
    let applied = resources.apply(update(Kind::Cluster, vec![broken, sni], &[]));
    assert_eq!(applied.refused, [], "it was decoded");
    let applied = resources.apply(leading(&[&[("a", 1)]]));
    assert!(!applied.again && applied.asks);

    // Its bytes are gone by now.
    let both: &[&[(&str, u32)]] = &[&[("a", 1)], &[(PLAIN, 1)]];
    let applied = resources.apply(leading(both));
    assert!(applied.again);
    assert!(!resources.wanted().contains(PLAIN));
    let plain = (PLAIN, cluster(PLAIN).encode_to_vec());
    let applied = resources.apply(update(Kind::Cluster, vec![plain], &[]));
    assert!(applied.asks && !applied.again);
    assert!(resources.wanted().contains(PLAIN));
    resources.apply(endpoints(PLAIN, &["10.0.0.7:1"]));
    assert_eq!(address(&resources, "name-1").unwrap(), "10.0.0.7:1");
}

#[test]
fn clusters_of_one_chain_have_their_shares_whatever_is_behind_them() {
    let mut resources = Resources::default();
    resources.apply(clusters(&["a", "b"]));
    resources.apply(leading(&[&[("a", 1), ("b", 3)]]));
    resources.apply(endpoints("a", &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]));
    resources.apply(endpoints("b", &["10.0.1.1:1"]));
    let share = |resources: &Resources, prefix: &str| -> f64 {
        let route = route(resources, "name-0");
        let weight = |e: &&EndpointSpec| e.address.to_string().starts_with(prefix);
        let part: u64 = route
            .endpoints
            .iter()
            .filter(weight)
            .map(|e| u64::from(e.weight.get()))
            .sum();
        let whole: u64 = route
            .endpoints
            .iter()
            .map(|e| u64::from(e.weight.get()))
            .sum();
        part as f64 / whole as f64
    };
    assert!((share(&resources, "10.0.0.") - 0.25).abs() < 1e-6);
    assert!((share(&resources, "10.0.1.") - 0.75).abs() < 1e-6);
    // One without endpoints leaves its share to the other.
    resources.apply(endpoints("b", &[]));
    assert!((share(&resources, "10.0.0.") - 1.0).abs() < 1e-9);
}

#[test]
fn localities_with_shares_of_their_own_have_them_whatever_is_in_them() {
    let mut of_localities = cluster("a");
    of_localities.common_lb_config = Some(CommonLbConfig {
        locality_config_specifier: Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(
            LocalityWeightedLbConfig {},
        )),
        ..Default::default()
    });
    let mut resources = Resources::default();
    let bytes = of_localities.encode_to_vec();
    resources.apply(update(Kind::Cluster, vec![("a", bytes)], &[]));
    resources.apply(leading(&[&[("a", 1)]]));
    let mut told = assignment("a", vec![endpoint("10.0.0.1:1"), endpoint("10.0.0.2:1")]);
    told.endpoints[0].load_balancing_weight = Some(UInt32Value { value: 1 });
    let mut other = assignment("a", vec![endpoint("10.0.1.1:1")])
        .endpoints
        .remove(0);
    other.load_balancing_weight = Some(UInt32Value { value: 4 });
    told.endpoints.push(other);
    resources.apply(update(
        Kind::Assignment,
        vec![("a", told.encode_to_vec())],
        &[],
    ));
    let weights: Vec<u32> = route(&resources, "name-0")
        .endpoints
        .iter()
        .map(|e| e.weight.get())
        .collect();
    assert_eq!(weights[0], weights[1]);
    assert_eq!(weights[2] / weights[0], 8);
}

#[test]
fn two_chains_for_the_same_clients_are_both_closed_and_open_again_when_one_goes() {
    let mut resources = Resources::default();
    resources.apply(clusters(&["a", "b"]));
    let twice = |update: Update| {
        // The second chain gets the first one's name.
        let mut update = update;
        let (_, bytes) = update.resources.remove(0);
        let mut listener = ListenerMessage::decode(bytes).unwrap();
        let first = listener.filter_chains[0].filter_chain_match.clone();
        listener.filter_chains[1].filter_chain_match = first;
        let bytes = listener.encode_to_vec().into();
        update.resources.push(("l".to_owned(), bytes));
        update
    };
    resources.apply(twice(leading(&[&[("a", 1)], &[("b", 1)]])));
    assert!(resources.routes().all(|route| route.closed));
    assert_eq!(resources.quarantined().count(), 2);
    resources.apply(leading(&[&[("a", 1)]]));
    assert!(resources.routes().all(|route| !route.closed));
    assert_eq!(resources.quarantined().count(), 0);
}
