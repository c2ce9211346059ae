use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    world::{endpoint, meshes, networks, own},
    *,
};
use crate::model::{Cluster, Gateway, Mesh};

/// How an endpoint has to be told, worked out one by one.
#[derive(Debug, PartialEq)]
enum Expected {
    Hidden,
    Pod,
    Behind(BTreeSet<(IpAddr, u16)>),
}

/// The rules as the specification writes them, apart from how they are computed.
fn expected(
    mesh: &Mesh,
    at: &Standpoint,
    (cluster, shard): (&ClusterId, &Shard),
    endpoint: &Endpoint,
    port: u16,
) -> Expected {
    let own = *cluster == at.cluster;
    let name = shard
        .ports
        .iter()
        .find(|p| p.number == port)
        .map(|p| &p.name);
    let has_port = name.is_some_and(|name| endpoint.ports.contains_key(name));
    let same_network = match (&at.network, &endpoint.network) {
        (Some(here), Some(there)) => here == there,
        _ => true,
    };
    let crosses = shard.export != Export::Closed && endpoint.mesh_tls;
    let gateways = |of: Option<&ClusterId>| -> BTreeSet<_> {
        (mesh.clusters.iter())
            .filter(|(id, _)| of.is_none_or(|of| of == *id))
            .flat_map(|(_, cluster)| &cluster.gateways)
            .filter(|gateway| Some(&gateway.network) == endpoint.network.as_ref())
            .map(|gateway| (gateway.address, gateway.port))
            .collect()
    };
    let told = match at.role {
        Role::Sidecar => own || shard.export.admits(&at.cluster),
        Role::Gateway => crosses && same_network && (own || beside(at, endpoint)),
    };
    if !told || !endpoint.ready || !has_port {
        return Expected::Hidden;
    }
    if same_network {
        return Expected::Pod;
    }
    let mut entrances = gateways(Some(cluster));
    if entrances.is_empty() {
        entrances = gateways(None);
    }
    if crosses && !entrances.is_empty() {
        Expected::Behind(entrances)
    } else {
        Expected::Hidden
    }
}

/// Whether an endpoint says that it is in the network of a viewer that knows its own.
fn beside(at: &Standpoint, endpoint: &Endpoint) -> bool {
    at.network.is_some() && at.network == endpoint.network
}

/// Whether a gateway has to do with a shard: its own cluster's, or of one in its network.
fn concerns(at: &Standpoint, cluster: &ClusterId, shard: &Shard) -> bool {
    *cluster == at.cluster || shard.endpoints.iter().any(|one| beside(at, one))
}

/// A common multiple of every number of gateways that a world can have in one network.
const WHOLE: u128 = 2520 * 11 * 13;

fn check_port(mesh: &Mesh, at: &Standpoint, service: &Service, seen: &SeenPort) {
    let mut pods = BTreeSet::new();
    let mut shares = BTreeMap::<(IpAddr, u16), u128>::new();
    let (mut told, mut hidden) = (0, 0);
    for (cluster, shard) in &service.shards {
        if at.role == Role::Gateway && !concerns(at, cluster, shard) {
            continue;
        }
        for endpoint in &shard.endpoints {
            match expected(mesh, at, (cluster, shard), endpoint, seen.port.number) {
                Expected::Hidden => hidden += 1,
                Expected::Pod => {
                    told += 1;
                    pods.insert(endpoint.address);
                }
                Expected::Behind(gateways) => {
                    told += 1;
                    for gateway in &gateways {
                        *shares.entry(*gateway).or_default() += WHOLE / gateways.len() as u128;
                    }
                }
            }
        }
    }
    let targets: Vec<_> = seen
        .groups
        .iter()
        .flat_map(|group| &group.targets)
        .collect();
    let total: u128 = targets.iter().map(|target| u128::from(target.weight)).sum();
    assert!(total <= u128::from(u32::MAX));
    assert_eq!(
        targets.len(),
        pods.len() + shares.len(),
        "an address comes once"
    );
    for target in targets {
        let share = match &target.via {
            Via::Pod(_, endpoint) => {
                assert!(pods.contains(&target.address));
                assert_eq!(endpoint.address, target.address);
                WHOLE
            }
            Via::Gateway(_) => shares[&(target.address, target.port)],
        };
        assert!(target.weight > 0);
        assert_eq!(
            u128::from(target.weight) * told * WHOLE,
            total * share,
            "its part of all weights is its part of all endpoints"
        );
    }
    let withheld: u32 = Reason::ALL
        .iter()
        .map(|reason| seen.withheld.of(*reason))
        .sum();
    assert_eq!(
        withheld, hidden,
        "who is not told is counted, with a reason"
    );
    assert!(seen.groups.iter().all(|group| !group.targets.is_empty()));
}

fn check(mesh: &Mesh, at: &Standpoint) {
    let gateways = Gateways::of(mesh);
    for service in mesh.services.values() {
        let in_view = |(id, shard): &(&ClusterId, &Arc<Shard>)| match at.role {
            Role::Sidecar => **id == at.cluster || shard.export.admits(&at.cluster),
            Role::Gateway => concerns(at, id, shard) && shard.export != Export::Closed,
        };
        let shards: Vec<_> = service.shards.iter().filter(in_view).collect();
        let seen = at.see(service, &gateways);
        assert_eq!(seen.is_some(), !shards.is_empty());
        let Some(seen) = seen else { continue };
        let identities: BTreeSet<_> = (shards.iter())
            .flat_map(|(_, shard)| &shard.endpoints)
            .map(|endpoint| endpoint.identity.clone())
            .collect();
        assert_eq!(seen.identities, identities);
        let own = shards.iter().find(|(id, _)| **id == at.cluster);
        let first = own.unwrap_or(&shards[0]).1;
        let ports: Vec<_> = seen.ports.iter().map(|port| port.port.clone()).collect();
        assert_eq!(ports, first.ports);
        for port in &seen.ports {
            check_port(mesh, at, service, port);
        }
    }
}

proptest! {
    #[test]
    fn every_endpoint_is_told_once_with_its_share(
        mesh in meshes(),
        network in networks(),
        gateway in any::<bool>(),
    ) {
        let role = if gateway { Role::Gateway } else { Role::Sidecar };
        check(&mesh, &Standpoint { cluster: own(), network, role });
    }
}

fn cluster(id: &str, network: &str, gateways: &[[u8; 4]]) -> (ClusterId, Arc<Cluster>) {
    let gateway = |address: &[u8; 4]| Gateway {
        network: network.into(),
        address: IpAddr::from(*address),
        port: 15443,
    };
    let cluster = Cluster {
        pod_ranges: Vec::new(),
        id: id.into(),
        network: Some(network.into()),
        trust_domain: "cluster.local".parse().unwrap(),
        gateways: gateways.iter().map(gateway).collect(),
    };
    (id.into(), Arc::new(cluster))
}

fn shard(network: &str, subnet: u8, endpoints: u8, zones: u8) -> Arc<Shard> {
    let endpoint = |number| {
        let mut endpoint = endpoint(0, Some(network.into()));
        endpoint.address = IpAddr::from([10, 0, subnet, number]);
        endpoint.locality.region = network.into();
        endpoint.locality.zone = format!("{}", number % zones).into();
        Arc::new(endpoint)
    };
    Arc::new(Shard {
        export: Export::Everyone,
        headless: false,
        ports: vec![ServicePort {
            number: 80,
            name: "http".into(),
            http: true,
        }],
        endpoints: (0..endpoints).map(endpoint).collect(),
    })
}

fn world(
    clusters: impl IntoIterator<Item = ((ClusterId, Arc<Cluster>), Arc<Shard>)>,
) -> (Mesh, Service) {
    let mut mesh = Mesh::default();
    let mut service = Service {
        key: ServiceKey::new("sample", "helloworld"),
        shards: BTreeMap::new(),
    };
    for ((id, cluster), shard) in clusters {
        mesh.clusters.insert(id.clone(), cluster);
        service.shards.insert(id, shard);
    }
    (mesh, service)
}

fn sidecar(cluster: &str, network: &str) -> Standpoint {
    Standpoint {
        cluster: cluster.into(),
        network: Some(network.into()),
        role: Role::Sidecar,
    }
}

fn weights(seen: &Seen) -> BTreeMap<String, u32> {
    let targets = seen.ports[0].groups.iter().flat_map(|group| &group.targets);
    targets
        .map(|target| (target.address.to_string(), target.weight))
        .collect()
}

/// The worked example of istiod's `ep_filters_test.go`, seen from network 3 (with its pod
/// without a network as one in a network of ours): shares as there, scaled by 2, the least
/// common multiple of the gateways in use, where istiod scales by 6.
#[test]
fn shares_are_those_of_istiod() {
    let (mesh, service) = world([
        (
            cluster("1", "net1", &[[1, 1, 1, 1]]),
            shard("net1", 1, 2, 1),
        ),
        (
            cluster("2a", "net2", &[[2, 2, 2, 2]]),
            shard("net2", 2, 1, 1),
        ),
        (
            cluster("2b", "net2", &[[2, 2, 2, 20], [2, 2, 2, 21]]),
            shard("net2", 3, 2, 1),
        ),
        (cluster("3", "net3", &[]), shard("net3", 4, 1, 1)),
    ]);
    let seen = sidecar("3", "net3")
        .see(&service, &Gateways::of(&mesh))
        .unwrap();
    let expected = [
        ("1.1.1.1", 4),
        ("10.0.4.0", 2),
        ("2.2.2.2", 2),
        ("2.2.2.20", 2),
        ("2.2.2.21", 2),
    ];
    assert_eq!(
        weights(&seen),
        expected.map(|(a, w)| (a.to_owned(), w)).into()
    );
}

#[test]
fn a_network_without_a_gateway_is_withheld_not_dialled() {
    let (mesh, service) = world([
        (cluster("c1", "n1", &[]), shard("n1", 1, 1, 1)),
        (cluster("c2", "n2", &[]), shard("n2", 2, 3, 1)),
    ]);
    let seen = sidecar("c1", "n1")
        .see(&service, &Gateways::of(&mesh))
        .unwrap();
    assert_eq!(weights(&seen), [("10.0.1.0".to_owned(), 1)].into());
    assert_eq!(seen.ports[0].withheld.of(Reason::NoGateway), 3);
}

/// Envoy keeps only the first host of an address: with one entry per zone the second zone's
/// weight would be lost.
#[test]
fn a_gateway_of_two_zones_comes_once_in_their_region() {
    let (mesh, service) = world([
        (cluster("c1", "n1", &[]), shard("n1", 1, 1, 1)),
        (cluster("c2", "n2", &[[2, 2, 2, 2]]), shard("n2", 2, 5, 2)),
    ]);
    let seen = sidecar("c1", "n1")
        .see(&service, &Gateways::of(&mesh))
        .unwrap();
    assert_eq!(weights(&seen)["2.2.2.2"], 5);
    let group = &seen.ports[0].groups[1];
    assert_eq!((&*group.locality.region, &*group.locality.zone), ("n2", ""));
}

#[test]
fn more_gateways_than_weights_can_hold_are_rounded() {
    let primes = [2_u8, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31];
    let clusters = primes.map(|count| {
        let name = format!("c{count}");
        let gateways: Vec<_> = (0..count).map(|number| [1, 1, count, number]).collect();
        (cluster(&name, &name, &gateways), shard(&name, count, 7, 1))
    });
    let (mesh, service) = world(clusters);
    let seen = sidecar("own", "own")
        .see(&service, &Gateways::of(&mesh))
        .unwrap();
    let sum: u64 = weights(&seen)
        .values()
        .map(|weight| u64::from(*weight))
        .sum();
    assert!(sum <= u64::from(u32::MAX));
    for (address, weight) in weights(&seen) {
        let count: f64 = address.split('.').nth(2).unwrap().parse().unwrap();
        let share = f64::from(weight) / sum as f64;
        assert!(
            (share * count * 11.0 - 1.0).abs() < 1e-6,
            "{address} {share}"
        );
    }
}
