//! Random worlds for property tests.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use proptest::{collection::vec, option, prelude::*};
use trust::identity::{SpiffeId, TrustDomain};

use crate::model::{
    Cluster, ClusterId, Endpoint, Export, Gateway, Locality, Mesh, Network, Service, ServiceKey,
    ServicePort, Shard,
};

/// The own cluster in every world.
pub(crate) fn own() -> ClusterId {
    ClusterId::from("c0")
}

/// A mesh of one to four clusters in up to three networks, with one to three services. No
/// two endpoints have the same address.
pub(crate) fn meshes() -> impl Strategy<Value = Mesh> {
    (vec(cluster(), 1..5), vec(service(), 1..4)).prop_map(|(clusters, services)| Mesh {
        generation: 1,
        clusters: clusters
            .into_iter()
            .enumerate()
            .map(place_cluster)
            .collect(),
        services: services
            .into_iter()
            .enumerate()
            .map(place_service)
            .collect(),
        ..Mesh::default()
    })
}

/// A network, or none.
pub(crate) fn networks() -> impl Strategy<Value = Option<Network>> {
    option::weighted(
        0.9,
        (0..3_u8).prop_map(|n| Network::from(format!("n{n}").as_str())),
    )
}

/// A service of random shards; its name and its addresses come by [`place_service`].
pub(crate) fn service() -> impl Strategy<Value = Vec<Option<Shard>>> {
    vec(option::weighted(0.8, shard()), 1..5)
}

/// Gives a service its name, and its endpoints addresses that no other has.
pub(crate) fn place_service(
    (index, shards): (usize, Vec<Option<Shard>>),
) -> (ServiceKey, Arc<Service>) {
    let key = ServiceKey::new("sample", &format!("s{index}"));
    let place = |(cluster, shard): (usize, Option<Shard>)| {
        let mut shard = shard?;
        for (number, endpoint) in shard.endpoints.iter_mut().enumerate() {
            let endpoint = Arc::make_mut(endpoint);
            endpoint.address = IpAddr::from([10, index as u8, cluster as u8, number as u8]);
            endpoint.pod = format!("p{number}").into();
        }
        Some((id(cluster), Arc::new(shard)))
    };
    let shards: BTreeMap<_, _> = shards.into_iter().enumerate().filter_map(place).collect();
    (key.clone(), Arc::new(Service { key, shards }))
}

/// An endpoint of these traits; its address is for [`place_service`] to set.
pub(crate) fn endpoint(account: u8, network: Option<Network>) -> Endpoint {
    Endpoint {
        address: IpAddr::from([0, 0, 0, 0]),
        ports: [(Arc::from("http"), 5000)].into(),
        pod: "p".into(),
        workload: "w".into(),
        canonical_name: "c".into(),
        canonical_revision: "v1".into(),
        identity: identity(account),
        network,
        locality: Locality::default(),
        mesh_tls: true,
        ready: true,
    }
}

fn identity(account: u8) -> SpiffeId {
    let domain: TrustDomain = "cluster.local".parse().unwrap();
    SpiffeId::workload(&domain, "sample", &format!("a{account}")).unwrap()
}

/// A cluster's network, and the gateways that it names: another network, a number.
type Place = (Option<Network>, Vec<(Option<Network>, u8)>);

fn cluster() -> impl Strategy<Value = Place> {
    (networks(), vec((networks(), 0..6_u8), 0..4))
}

/// A gateway leads into its cluster's network, or, less often, another. Two clusters may
/// name the same address.
fn place_cluster((index, place): (usize, Place)) -> (ClusterId, Arc<Cluster>) {
    let (network, gateways) = place;
    let gateway = |(other, number): (Option<Network>, u8)| {
        let into = if number < 4 { network.clone() } else { other };
        Some(Gateway {
            address: IpAddr::from([192, 0, 2, number + 8 * (index as u8 % 2)]),
            network: into?,
            port: 15443,
        })
    };
    let cluster = Cluster {
        pod_ranges: Vec::new(),
        id: id(index),
        gateways: gateways.into_iter().filter_map(gateway).collect(),
        network,
        trust_domain: "cluster.local".parse().unwrap(),
    };
    (id(index), Arc::new(cluster))
}

fn shard() -> impl Strategy<Value = Shard> {
    let export = prop_oneof![
        Just(Export::Closed),
        Just(Export::Everyone),
        (0..4_usize).prop_map(|to| Export::Only([id(to)].into())),
    ];
    let endpoints = vec(endpoints().prop_map(Arc::new), 0..6);
    (export, any::<bool>(), endpoints).prop_map(|(export, second, endpoints)| {
        let port = |number: u16, name: &str| ServicePort {
            number,
            name: name.into(),
            http: true,
        };
        let mut ports = vec![port(80, "http")];
        ports.extend(second.then(|| port(90, "admin")));
        Shard {
            export,
            headless: false,
            ports,
            endpoints,
        }
    })
}

fn endpoints() -> impl Strategy<Value = Endpoint> {
    let traits = (0..3_u8, networks(), 0..4_u8, 0..2_u8);
    let odds = (
        any::<bool>(),
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.8),
    );
    (traits, odds).prop_map(
        |((account, network, region, zone), (admin, ready, mesh_tls))| {
            let mut endpoint = endpoint(account, network);
            if admin {
                endpoint.ports.insert("admin".into(), 5001);
            }
            endpoint.locality.region = format!("r{}", region / 2).into();
            endpoint.locality.zone = format!("z{zone}").into();
            Endpoint {
                ready,
                mesh_tls,
                ..endpoint
            }
        },
    )
}

fn id(index: usize) -> ClusterId {
    ClusterId::from(format!("c{index}").as_str())
}
