use proptest::prelude::*;

use super::*;
use crate::{
    horizon::world::meshes,
    model::{Endpoint, Export, Gateway, Locality, ServiceKey, ServicePort},
};

fn terms() -> Terms {
    let config = "cluster: c0\ntls: { directory: /d }";
    Terms::of(&serde_yaml_ng::from_str::<Config>(config).unwrap())
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn known(mut mesh: Mesh) -> Known {
    let kept = mesh.clusters.keys().collect();
    let services = std::mem::take(&mut mesh.services).into_iter();
    mesh.services = services
        .filter(|(_, service)| !service.shards.is_empty())
        .filter_map(|(key, service)| Some((key, only(&service, &kept)?)))
        .collect();
    let origin = |id: &ClusterId| Origin {
        uid: format!("uid of {id}").into(),
        remembered: None,
    };
    let origins = mesh.clusters.keys().map(|id| (id.clone(), origin(id)));
    Known {
        origins: origins.collect(),
        mesh: Arc::new(mesh),
    }
}

fn small() -> Snapshot {
    let c0 = Cluster {
        pod_ranges: Vec::new(),
        id: "c0".into(),
        network: Some("n".into()),
        trust_domain: "cluster.local".parse().unwrap(),
        gateways: BTreeSet::new(),
    };
    let mesh = Mesh {
        generation: 7,
        clusters: [("c0".into(), Arc::new(c0))].into(),
        missing: ["c9".into()].into(),
        ..Mesh::default()
    };
    Snapshot::of(&known(mesh), |_| at(5), &terms())
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_known(mesh in meshes()) {
        let known = known(mesh);
        let snapshot = Snapshot::of(&known, |_| at(5), &terms());
        let read = Snapshot::decode(&snapshot.encode().unwrap(), &terms()).unwrap();
        prop_assert_eq!(&read, &snapshot);
        let services: Vec<_> = known.mesh.services.values().cloned().collect();
        prop_assert_eq!(&read.services, &services);
        let clusters: Vec<_> = read.clusters.iter().map(|c| Arc::clone(&c.cluster)).collect();
        prop_assert_eq!(clusters, known.mesh.clusters.values().cloned().collect::<Vec<_>>());
        prop_assert!(read.clusters.iter().all(|c| c.seen() == at(5)));
    }

    #[test]
    fn a_cluster_without_a_name_of_its_own_is_left_out_whole(mesh in meshes(), nth in 0usize..4) {
        let mut known = known(mesh);
        let id = known.origins.keys().nth(nth % known.origins.len()).unwrap().clone();
        known.origins.remove(&id);
        let snapshot = Snapshot::of(&known, |_| at(5), &terms());
        let read = Snapshot::decode(&snapshot.encode().unwrap(), &terms()).unwrap();
        prop_assert!(read.missing.contains(&id));
        prop_assert!(read.services.iter().all(|s| !s.shards.contains_key(&id)));
        prop_assert!(read.services.iter().all(|s| !s.shards.is_empty()));
    }
}

#[test]
fn the_form_changes_only_together_with_its_version() {
    let mesh = meshes_first();
    let bytes = Snapshot::of(&known(mesh), |_| at(5), &terms())
        .encode()
        .unwrap();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        include_str!("tests/version_1")
    );
}

fn endpoint() -> Endpoint {
    Endpoint {
        address: [10, 0, 0, 1].into(),
        ports: [("http".into(), 5000)].into(),
        pod: "a-1".into(),
        workload: "a".into(),
        canonical_name: "a".into(),
        canonical_revision: "latest".into(),
        identity: "spiffe://cluster.local/ns/x/sa/a".parse().unwrap(),
        network: Some("n".into()),
        locality: Locality {
            region: "r".into(),
            ..Locality::default()
        },
        mesh_tls: true,
        ready: true,
    }
}

/// One of everything.
fn meshes_first() -> Mesh {
    let endpoint = endpoint();
    let shard = |export| {
        Arc::new(Shard {
            export,
            headless: false,
            ports: vec![ServicePort {
                number: 80,
                name: "http".into(),
                http: true,
            }],
            endpoints: vec![Arc::new(endpoint.clone())],
        })
    };
    let cluster = |name: &str| {
        Arc::new(Cluster {
            pod_ranges: Vec::new(),
            id: name.into(),
            network: Some("n".into()),
            trust_domain: "cluster.local".parse().unwrap(),
            gateways: [Gateway {
                network: "n".into(),
                address: [192, 0, 2, 1].into(),
                port: 15443,
            }]
            .into(),
        })
    };
    let names = ["c0", "c1", "c2"];
    let exports = [
        Export::Closed,
        Export::Everyone,
        Export::Only(["c0".into()].into()),
    ];
    let key = ServiceKey::new("x", "a");
    let service = Service {
        key: key.clone(),
        shards: names
            .map(ClusterId::from)
            .into_iter()
            .zip(exports.map(shard))
            .collect(),
    };
    Mesh {
        generation: 1,
        clusters: names.map(|name| (name.into(), cluster(name))).into(),
        services: [(key, Arc::new(service))].into(),
        missing: ["c3".into()].into(),
    }
}

#[test]
fn what_is_only_remembered_keeps_its_age() {
    let mut known = known(meshes_first());
    known.origins.get_mut(&"c1".into()).unwrap().remembered = Some(at(3));
    let snapshot = Snapshot::of(&known, |_| at(5), &terms());
    let seen: Vec<_> = snapshot.clusters.iter().map(Remembered::seen).collect();
    assert_eq!(seen, [at(5), at(3), at(5)]);
}

#[test]
fn one_of_other_settings_or_that_was_changed_is_none() {
    let bytes = small().encode().unwrap();
    let other = Terms {
        exports: Exports::All,
        ..terms()
    };
    assert_eq!(Snapshot::decode(&bytes, &other), Err(Flaw::Terms));
    let changed = [&bytes[..], b" "].concat();
    let flaw = Flaw::Broken(Broken::Checksum);
    assert_eq!(Snapshot::decode(&changed, &terms()), Err(flaw));
}

#[test]
fn a_shard_of_a_cluster_that_is_not_there_is_no_picture() {
    let mut snapshot = Snapshot::of(&known(meshes_first()), |_| at(5), &terms());
    snapshot.clusters.pop();
    let read = Snapshot::decode(&snapshot.encode().unwrap(), &terms());
    assert!(matches!(read, Err(Flaw::Content(_))), "{read:?}");
}
