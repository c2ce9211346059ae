//! Random histories: whatever the order, the picture is the one that a fresh start sees.

use std::collections::HashMap;

use ipnet::IpNet;

use super::*;

/// One observation, small enough that histories collide.
#[derive(Debug, Clone)]
enum Event {
    Apply(usize, usize, Fact),
    Gone(usize, Kind, usize),
    Relist(usize, Kind),
    Publish,
}

/// Mostly the address of pod `n`.
fn address(n: usize, wrong: bool) -> String {
    format!("10.0.0.{}", if wrong { (n + 1) % 4 } else { n })
}

/// A fact about the object of name `n`.
fn facts(n: usize) -> impl Strategy<Value = Fact> {
    let seldom = || prop::bool::weighted(0.1);
    let often = || prop::bool::weighted(0.8);
    prop_oneof![
        2 => (often(), seldom()).prop_map(|(marked, limited)| {
            let Fact::Service(mut fact) = service(marked) else { unreachable!() };
            fact.to = limited.then(|| ["c9".into()].into());
            Fact::Service(fact)
        }),
        3 => (seldom(), seldom(), any::<bool>()).prop_map(move |(wrong, other, mesh_tls)| {
            let mut fact = pod_fact(&address(n, wrong), if other { "bye" } else { "hello" });
            fact.mesh_tls = mesh_tls;
            fact.node = ["n0", "n1"][n % 2].into();
            Fact::Pod(fact)
        }),
        3 => (0..2usize, prop::collection::vec((0..4usize, seldom(), any::<bool>()), 0..4)).prop_map(
            |(service, entries)| {
                let entry = |(pod, wrong, ready): (usize, bool, bool)| SliceEndpoint {
                    address: Some(address(pod, wrong).parse().unwrap()),
                    backing: Backing::Pod(NAMES[pod].into()),
                    ready,
                };
                Fact::Slice(SliceFact {
                    service: NAMES[service].into(),
                    ports: vec![("http".into(), 5000)],
                    endpoints: entries.into_iter().map(entry).collect(),
                })
            }
        ),
        1 => (0..3usize, 0..4usize).prop_map(|(region, range)| Fact::Node(NodeFact {
            locality: Locality {
                region: ["", "r1", "r2"][region].into(),
                ..Locality::default()
            },
            pod_ranges: RANGES[range].iter().map(|range| range.parse().unwrap()).collect(),
        })),
        1 => Just(Fact::ServiceExport),
        1 => (0..2usize).prop_map(|n| Fact::Namespace([None, Some("n2".into())][n].clone())),
        1 => (0..2usize).prop_map(|n| Fact::MeshConfig(["td1", "td2"][n].into())),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let kind = || prop::sample::select(Kind::ALL.to_vec());
    prop_oneof![
        12 => (0..2usize, 0..4usize).prop_flat_map(|(c, n)| facts(n).prop_map(move |fact| Event::Apply(c, n, fact))),
        4 => (0..2usize, kind(), 0..4usize).prop_map(|(c, kind, n)| Event::Gone(c, kind, n)),
        1 => (0..2usize, kind()).prop_map(|(c, kind)| Event::Relist(c, kind)),
        2 => Just(Event::Publish),
    ]
}

/// The truth that events describe, by cluster, kind and name.
#[derive(Default)]
struct Truth(HashMap<(usize, Kind, ObjectKey), Fact>);

impl Truth {
    fn list(&self, cluster: usize, kind: Kind) -> Vec<(ObjectKey, Fact)> {
        let all = self
            .0
            .iter()
            .filter(|((c, k, _), _)| (*c, *k) == (cluster, kind));
        all.map(|((_, _, key), fact)| (key.clone(), fact.clone()))
            .collect()
    }
}

fn object_key(kind: Kind, n: usize) -> ObjectKey {
    match kind {
        Kind::Node => ObjectKey::new("", ["n0", "n1", "n2", "n3"][n]),
        // There is one of each.
        Kind::Namespace | Kind::MeshConfig => ObjectKey::new("", "istio"),
        _ => key(NAMES[n]),
    }
}

fn replay(events: &[Event]) -> (World, Truth) {
    let (mut world, mut truth) = (World::complete(), Truth::default());
    for event in events {
        match event.clone() {
            Event::Apply(c, n, fact) => {
                let kind = kind_of(&fact);
                let key = object_key(kind, n);
                truth.0.insert((c, kind, key.clone()), fact.clone());
                world.change(CLUSTERS[c], kind, Change::Applied(key, fact));
            }
            Event::Gone(c, kind, n) => {
                let key = object_key(kind, n);
                truth.0.remove(&(c, kind, key.clone()));
                world.change(CLUSTERS[c], kind, Change::Gone(key));
            }
            Event::Relist(c, kind) => {
                let effect = world.change(CLUSTERS[c], kind, Change::Listed(truth.list(c, kind)));
                assert_eq!(
                    effect,
                    Effect::None,
                    "a relist of the truth changes nothing"
                );
            }
            Event::Publish => {
                world.0.publish();
            }
        }
    }
    (world, truth)
}

fn rebuild(truth: &Truth) -> World {
    let mut world = World(Merge::new(rules()));
    for (index, cluster) in CLUSTERS.into_iter().enumerate() {
        world.news(cluster, News::Joined);
        for kind in Kind::ALL {
            world.news(
                cluster,
                News::Changed(kind, Change::Listed(truth.list(index, kind)), 0),
            );
        }
    }
    world.0.settle();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_leads_to_the_picture_of_a_fresh_start(events in prop::collection::vec(events(), 0..80)) {
        let (world, truth) = replay(&events);
        let fresh = rebuild(&truth);
        prop_assert_eq!(&world.0.mesh.clusters, &fresh.0.mesh.clusters);
        prop_assert_eq!(&world.0.mesh.services, &fresh.0.mesh.services);
        let counted = |world: &World| -> Vec<_> {
            let tallies = world.0.tallies().into_iter();
            tallies.map(|(id, mut tally)| {
                tally.ignored.retain(|_, count| *count > 0);
                (id, tally)
            }).collect()
        };
        prop_assert_eq!(counted(&world), counted(&fresh));
    }

    #[test]
    fn no_peer_brings_an_address_of_ours(events in prop::collection::vec(events(), 0..80)) {
        let (world, truth) = replay(&events);
        let own: Vec<IpNet> = truth.list(0, Kind::Node).into_iter().flat_map(|(_, fact)| {
            let Fact::Node(node) = fact else { unreachable!() };
            node.pod_ranges
        }).collect();
        let network = |c: usize| truth.list(c, Kind::Namespace).into_iter().find_map(|(_, fact)| match fact {
            Fact::Namespace(network) => network,
            _ => None,
        });
        let is_apart = network(0).is_some() && network(1).is_some() && network(0) != network(1);
        let mut refused = 0;
        for endpoint in world.endpoints(PEER) {
            let is_ours = own.iter().any(|range| range.contains(&endpoint.address));
            prop_assert!(is_apart || !is_ours, "{endpoint:?}");
        }
        let tallies = world.0.tallies();
        for reason in [Ignored::OwnRange, Ignored::Nowhere] {
            refused += tallies[&PEER.into()].ignored.get(&reason).copied().unwrap_or_default();
        }
        prop_assert!(refused == 0 || (!own.is_empty() && !is_apart), "{refused} refused");
        prop_assert_eq!(world.ignored(OWN, Ignored::OwnRange), 0);
    }

    #[test]
    fn an_endpoint_is_sorted_once_and_its_pods(events in prop::collection::vec(events(), 0..80)) {
        let (world, truth) = replay(&events);
        for service in world.0.mesh.services.values() {
            for (id, shard) in &service.shards {
                let cluster = CLUSTERS.iter().position(|c| *c == id.as_str()).unwrap();
                let places: Vec<_> = shard.endpoints.iter().map(|e| (e.pod.clone(), e.address)).collect();
                prop_assert!(places.is_sorted_by(|a, b| a < b));
                prop_assert!(shard.endpoints.is_empty() || id.as_str() == OWN || shard.export.admits(&OWN.into()));
                for endpoint in &shard.endpoints {
                    let pod = truth.0.get(&(cluster, Kind::Pod, key(&endpoint.pod)));
                    let Some(Fact::Pod(pod)) = pod else { panic!("an endpoint without a pod") };
                    prop_assert!(pod.addresses.contains(&endpoint.address));
                    prop_assert_eq!(endpoint.identity.service_account(), Some(&*pod.service_account));
                }
            }
        }
    }
}

/// Of pods `0` to `3`.
const RANGES: [&[&str]; 4] = [
    &[],
    &["10.0.0.0/31"],
    &["10.0.0.1/32", "10.0.0.3/32"],
    &["10.9.0.0/16"],
];
const NAMES: [&str; 4] = ["hello", "a", "b", "c"];
const CLUSTERS: [&str; 2] = [OWN, PEER];
