use proptest::prelude::*;

use super::{shard::Ignored, *};
use crate::{
    model::{Endpoint, Export, Gateway, Locality, ServicePort},
    remote::{
        project::{
            Backing, Fact, GatewayFact, Kind, NodeFact, ObjectKey, PodFact, ServiceFact,
            SliceEndpoint, SliceFact,
        },
        watch::{Change, Revision},
    },
};

mod behind;
mod import;
mod random;
mod remembered;

const OWN: &str = "c1";
const PEER: &str = "c2";

fn rules() -> Rules {
    Rules {
        own: OWN.into(),
        network: None,
        trust_domain: "cluster.local".parse().unwrap(),
        exports: Exports::Marked,
        import: Import::default(),
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("sample", name)
}

fn service(marked: bool) -> Fact {
    Fact::Service(ServiceFact {
        ports: vec![ServicePort {
            number: 80,
            name: "http".into(),
            http: true,
        }],
        headless: false,
        marked: marked.then_some(true),
        to: None,
        gateway: None,
    })
}

/// A gateway's Service; `exposed`: it has the port of the mesh.
fn gateway(addresses: &[&str], exposed: bool) -> Fact {
    let Fact::Service(mut fact) = service(false) else {
        panic!()
    };
    fact.gateway = Some(GatewayFact {
        network: "n2".into(),
        port: 15443,
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        host_names: ["lb.example".to_owned()].into(),
        exposed,
    });
    Fact::Service(fact)
}

fn pod_fact(address: &str, account: &str) -> PodFact {
    PodFact {
        addresses: vec![address.parse().unwrap()],
        node: "n1".into(),
        service_account: account.into(),
        workload: "w".into(),
        canonical_name: "w".into(),
        canonical_revision: "latest".into(),
        network: None,
        locality: None,
        mesh_tls: true,
    }
}

fn pod(address: &str) -> Fact {
    Fact::Pod(pod_fact(address, "hello"))
}

/// A slice of `hello`, of pods with addresses and readiness.
fn slice(entries: &[(&str, &str, bool)]) -> Fact {
    let entry = |(pod, address, ready): &(&str, &str, bool)| SliceEndpoint {
        address: Some(address.parse().unwrap()),
        backing: Backing::Pod((*pod).into()),
        ready: *ready,
    };
    Fact::Slice(SliceFact {
        service: "hello".into(),
        ports: vec![("http".into(), 5000)],
        endpoints: entries.iter().map(entry).collect(),
    })
}

struct World(Merge);

impl World {
    /// Both clusters joined, all lists complete and empty.
    fn complete() -> Self {
        let mut world = Self(Merge::new(rules()));
        for cluster in [OWN, PEER] {
            world.news(cluster, News::Joined);
            for kind in Kind::ALL {
                world.news(cluster, News::Changed(kind, Change::Listed(Vec::new()), 0));
            }
        }
        world.news(OWN, News::Roster([PEER.into()].into()));
        world.0.settle();
        world
    }

    fn news(&mut self, cluster: &str, news: News) -> Effect {
        let cluster = cluster.into();
        self.0.take(Observation { cluster, news })
    }

    fn change(&mut self, cluster: &str, kind: Kind, change: Change<Fact>) -> Effect {
        self.change_at(0, cluster, kind, change)
    }

    fn change_at(
        &mut self,
        at: Revision,
        cluster: &str,
        kind: Kind,
        change: Change<Fact>,
    ) -> Effect {
        self.news(cluster, News::Changed(kind, change, at));
        self.0.settle()
    }

    fn apply(&mut self, cluster: &str, name: &str, fact: Fact) -> Effect {
        let kind = kind_of(&fact);
        self.change(cluster, kind, Change::Applied(key(name), fact))
    }

    fn gone(&mut self, cluster: &str, kind: Kind, name: &str) -> Effect {
        self.change(cluster, kind, Change::Gone(key(name)))
    }

    /// `hello` with one ready pod `a`, exported.
    fn with_hello(cluster: &str) -> Self {
        let mut world = Self::complete();
        world.apply(cluster, "hello", service(true));
        world.apply(cluster, "a", pod("10.0.0.1"));
        world.apply(cluster, "hello-1", slice(&[("a", "10.0.0.1", true)]));
        world
    }

    fn shard(&self, cluster: &str) -> Option<Arc<Shard>> {
        shard_of(&self.0.mesh, &cluster.into(), &key("hello"))
    }

    fn endpoints(&self, cluster: &str) -> Vec<Arc<Endpoint>> {
        self.shard(cluster)
            .map_or_else(Vec::new, |shard| shard.endpoints.clone())
    }

    fn ignored(&self, cluster: &str, reason: Ignored) -> usize {
        let tallies = self.0.tallies();
        tallies[&cluster.into()]
            .ignored
            .get(&reason)
            .copied()
            .unwrap_or_default()
    }
}

fn kind_of(fact: &Fact) -> Kind {
    match fact {
        Fact::Service(_) => Kind::Service,
        Fact::Slice(_) => Kind::EndpointSlice,
        Fact::Pod(_) => Kind::Pod,
        Fact::Node(_) => Kind::Node,
        Fact::Namespace(_) => Kind::Namespace,
        Fact::MeshConfig(_) => Kind::MeshConfig,
        Fact::ServiceExport => Kind::ServiceExport,
    }
}

#[test]
fn a_cluster_enters_when_its_lists_are_complete() {
    let mut world = World(Merge::new(rules()));
    assert_eq!(world.news(OWN, News::Joined), Effect::Addition);
    for kind in Kind::ALL {
        assert!(world.0.mesh.clusters.is_empty());
        assert_eq!(world.0.mesh.missing, [OWN.into()].into());
        match kind.is_optional() {
            true => world.news(OWN, News::Absent(kind)),
            false => world.news(OWN, News::Changed(kind, Change::Listed(Vec::new()), 0)),
        };
        world.0.settle();
    }
    assert!(world.0.mesh.clusters.contains_key(&OWN.into()));
    assert!(world.0.mesh.missing.is_empty());
    assert!(!world.0.is_complete(), "other members are not known yet");
    world.news(OWN, News::Roster([PEER.into()].into()));
    assert!(world.0.is_complete());
}

#[test]
fn slices_before_pods_and_pods_before_slices_give_one_endpoint_with_its_identity() {
    let mut world = World::complete();
    world.apply(OWN, "hello", service(false));
    world.apply(OWN, "hello-1", slice(&[("a", "10.0.0.1", true)]));
    assert_eq!(world.endpoints(OWN), []);
    assert_eq!(world.ignored(OWN, Ignored::UnknownPod), 1);
    assert_eq!(world.apply(OWN, "a", pod("10.0.0.1")), Effect::Addition);
    assert_eq!(world.ignored(OWN, Ignored::UnknownPod), 0);
    let found = world.endpoints(OWN);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].identity.to_string(),
        "spiffe://cluster.local/ns/sample/sa/hello"
    );
    assert_eq!(found[0].ports, [("http".into(), 5000)].into());
    assert_eq!(found, World::with_hello(OWN).endpoints(OWN));
}

#[test]
fn an_address_that_its_pod_does_not_carry_is_not_used() {
    let mut world = World::with_hello(OWN);
    world.apply(OWN, "forged", slice(&[("a", "10.9.9.9", true)]));
    let nothing = SliceEndpoint {
        address: Some("10.0.0.1".parse().unwrap()),
        backing: Backing::Nothing,
        ready: true,
    };
    let by_hand = Fact::Slice(SliceFact {
        service: "hello".into(),
        ports: Vec::new(),
        endpoints: vec![nothing],
    });
    world.apply(OWN, "by-hand", by_hand);
    assert_eq!(world.endpoints(OWN).len(), 1);
    assert_eq!(world.ignored(OWN, Ignored::NotItsAddress), 1);
    assert_eq!(world.ignored(OWN, Ignored::NoPod), 1);
}

#[test]
fn a_pod_in_two_slices_is_one_endpoint() {
    let mut world = World::with_hello(OWN);
    let twice = slice(&[("a", "10.0.0.1", false)]);
    assert_eq!(
        world.apply(OWN, "hello-2", twice),
        Effect::None,
        "ready in one is ready"
    );
    assert_eq!(world.endpoints(OWN).len(), 1);
    assert_eq!(
        world.gone(OWN, Kind::EndpointSlice, "hello-1"),
        Effect::Removal
    );
    assert!(!world.endpoints(OWN)[0].ready);
}

#[test]
fn unready_and_gone_are_removals_and_coming_back_is_none() {
    let mut world = World::with_hello(OWN);
    let entry = |ready| slice(&[("a", "10.0.0.1", ready)]);
    assert_eq!(world.apply(OWN, "hello-1", entry(false)), Effect::Removal);
    assert_eq!(world.endpoints(OWN).len(), 1, "it stays, not ready");
    assert_eq!(
        world.apply(OWN, "hello-1", slice(&[])),
        Effect::Addition,
        "nobody used it"
    );
    assert_eq!(world.apply(OWN, "hello-1", entry(true)), Effect::Opening);
    assert_eq!(world.apply(OWN, "hello-1", entry(true)), Effect::None);
    assert_eq!(world.gone(OWN, Kind::Pod, "a"), Effect::Removal);
    assert_eq!(world.endpoints(OWN), []);
    world.apply(OWN, "a", pod("10.0.0.1"));
    assert_eq!(world.gone(OWN, Kind::Service, "hello"), Effect::Removal);
    assert!(world.shard(OWN).is_none());
    assert!(world.0.mesh.services.is_empty());
}

/// Our gateway has to know before the sidecars of others do.
#[test]
fn the_first_endpoint_that_others_may_reach_is_an_opening_in_the_own_network_alone() {
    let ready = || slice(&[("a", "10.0.0.1", true)]);
    let apart = Effect::Addition;
    for (cluster, networks, effect) in [
        (OWN, ["n1", "n2"], Effect::Opening),
        (PEER, ["n1", "n1"], Effect::Opening),
        (PEER, ["n1", "n2"], apart),
        (PEER, ["", ""], apart),
    ] {
        let mut world = World::with_hello(cluster);
        for (id, network) in [OWN, PEER].into_iter().zip(networks) {
            let network = Some(network).filter(|name| !name.is_empty());
            world.apply(id, "istio-system", Fact::Namespace(network.map(Into::into)));
        }
        world.apply(cluster, "hello", service(false));
        assert_eq!(world.apply(cluster, "hello", service(true)), effect);
        world.apply(cluster, "hello-1", slice(&[("a", "10.0.0.1", false)]));
        assert_eq!(world.apply(cluster, "hello-1", ready()), effect);
        world.apply(cluster, "b", pod("10.0.0.2"));
        let both = slice(&[("a", "10.0.0.1", true), ("b", "10.0.0.2", true)]);
        assert_eq!(world.apply(cluster, "hello-1", both), Effect::Addition);
    }
}

#[test]
fn only_what_is_offered_to_us_has_endpoints_here() {
    let mut world = World::with_hello(PEER);
    assert_eq!(world.endpoints(PEER).len(), 1);
    assert_eq!(world.apply(PEER, "hello", service(false)), Effect::Removal);
    let closed = world.shard(PEER).unwrap();
    assert_eq!(
        (&closed.export, closed.endpoints.len()),
        (&Export::Closed, 0)
    );
    assert_eq!(
        world.apply(PEER, "hello", Fact::ServiceExport),
        Effect::Addition
    );
    assert_eq!(world.endpoints(PEER).len(), 1);
    assert_eq!(
        world.gone(PEER, Kind::ServiceExport, "hello"),
        Effect::Removal
    );
    let Fact::Service(mut limited) = service(true) else {
        panic!()
    };
    limited.to = Some(["c9".into()].into());
    world.apply(PEER, "hello", Fact::Service(limited));
    assert_eq!(world.endpoints(PEER), []);
}

#[test]
fn a_clusters_network_and_trust_domain_reach_every_endpoint() {
    let mut world = World::with_hello(PEER);
    let endpoint = |world: &World| world.endpoints(PEER)[0].clone();
    assert_eq!(endpoint(&world).network, None);
    world.apply(PEER, "istio-system", Fact::Namespace(Some("n2".into())));
    assert_eq!(endpoint(&world).network, Some("n2".into()));
    world.apply(PEER, "istio", Fact::MeshConfig("td2".into()));
    assert_eq!(
        endpoint(&world).identity.to_string(),
        "spiffe://td2/ns/sample/sa/hello"
    );
    assert_eq!(
        world.0.mesh.clusters[&PEER.into()].trust_domain.as_str(),
        "td2"
    );
    assert_eq!(
        world.0.mesh.clusters[&OWN.into()].trust_domain.as_str(),
        "cluster.local"
    );
    let locality = Locality {
        region: "r".into(),
        ..Locality::default()
    };
    world.change(
        PEER,
        Kind::Node,
        Change::Applied(
            ObjectKey::new("", "n1"),
            Fact::Node(NodeFact {
                locality: locality.clone(),
                ..NodeFact::default()
            }),
        ),
    );
    assert_eq!(endpoint(&world).locality, locality);
}

#[test]
fn gateways_are_the_clusters_and_a_host_name_is_a_note() {
    let mut world = World::complete();
    let gateways = |world: &World| world.0.mesh.clusters[&PEER.into()].gateways.clone();
    world.apply(PEER, "gw", gateway(&["1.1.1.1", "2.2.2.2"], true));
    let first = gateways(&world).first().cloned().unwrap();
    let expected = Gateway {
        network: "n2".into(),
        address: "1.1.1.1".parse().unwrap(),
        port: 15443,
    };
    assert_eq!(first, expected);
    assert!(world.0.tallies()[&PEER.into()].notes[0].contains("lb.example"));
    assert_eq!(
        world.apply(PEER, "gw", gateway(&["2.2.2.2"], true)),
        Effect::Removal
    );
    world.apply(PEER, "gw", gateway(&["2.2.2.2"], false));
    assert!(gateways(&world).is_empty());
}

#[test]
fn a_relist_takes_away_only_what_it_lacks() {
    let mut world = World::with_hello(OWN);
    world.apply(OWN, "b", pod("10.0.0.2"));
    world.apply(OWN, "hello-2", slice(&[("b", "10.0.0.2", true)]));
    let before = world.endpoints(OWN);
    let same = vec![(key("a"), pod("10.0.0.1")), (key("b"), pod("10.0.0.2"))];
    assert_eq!(
        world.change(OWN, Kind::Pod, Change::Listed(same)),
        Effect::None
    );
    let less = vec![(key("a"), pod("10.0.0.1"))];
    assert_eq!(
        world.change(OWN, Kind::Pod, Change::Listed(less)),
        Effect::Removal
    );
    let after = world.endpoints(OWN);
    assert_eq!(after.len(), 1);
    assert!(Arc::ptr_eq(&after[0], &before[0]));
}

#[test]
fn what_did_not_change_is_shared() {
    let mut world = World::with_hello(OWN);
    world.apply(OWN, "other", service(false));
    let before = world.0.publish();
    world.apply(OWN, "b", pod("10.0.0.2"));
    world.apply(
        OWN,
        "hello-1",
        slice(&[("a", "10.0.0.1", true), ("b", "10.0.0.2", true)]),
    );
    let after = world.0.publish();
    assert_eq!(after.generation, before.generation + 1);
    let (other, hello) = (key("other"), key("hello"));
    assert!(Arc::ptr_eq(
        &before.services[&other],
        &after.services[&other]
    ));
    assert!(!Arc::ptr_eq(
        &before.services[&hello],
        &after.services[&hello]
    ));
    let first = |mesh: &Mesh| mesh.services[&hello].shards[&OWN.into()].endpoints[0].clone();
    assert!(Arc::ptr_eq(&first(&before), &first(&after)));
    assert!(Arc::ptr_eq(
        &before.clusters[&OWN.into()],
        &after.clusters[&OWN.into()]
    ));
}

#[test]
fn a_member_that_left_takes_its_shards_along_and_no_others() {
    let mut world = World::with_hello(PEER);
    world.apply(OWN, "hello", service(false));
    assert_eq!(world.news(PEER, News::Left), Effect::Removal);
    assert!(world.shard(PEER).is_none());
    assert!(world.shard(OWN).is_some());
    assert!(!world.0.mesh.clusters.contains_key(&PEER.into()));
    assert_eq!(world.news(PEER, News::Left), Effect::None);
    assert_eq!(
        world.apply(PEER, "a", pod("10.0.0.1")),
        Effect::None,
        "too late"
    );
}
