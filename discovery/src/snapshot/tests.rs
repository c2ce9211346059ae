use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::{
    file::{Found, Store},
    *,
};
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn one_bit_or_byte_that_differs_and_there_is_none(mesh in meshes(), bit in 0u8..8) {
        let bytes = Snapshot::of(&known(mesh), |_| at(5), &terms()).encode().unwrap();
        let step = (bytes.len() / 200).max(1);
        let header = 0..LONGEST_HEADER.min(bytes.len());
        for place in header.chain((0..bytes.len()).step_by(step)) {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            prop_assert!(Snapshot::decode(&changed, &terms()).is_err(), "changed at {}", place);
            prop_assert!(Snapshot::decode(&bytes[..place], &terms()).is_err(), "cut at {}", place);
        }
        let longer = [&bytes[..], b" "].concat();
        prop_assert_eq!(Snapshot::decode(&longer, &terms()), Err(Flaw::Checksum));
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
fn other_settings_and_other_versions_are_told_apart() {
    let bytes = small().encode().unwrap();
    let other = Terms {
        exports: Exports::All,
        ..terms()
    };
    assert_eq!(Snapshot::decode(&bytes, &other), Err(Flaw::Terms));
    let text = String::from_utf8(bytes).unwrap();
    let next = text.replacen("snapshot 1 ", "snapshot 2 ", 1);
    let flaw = Flaw::Version("2".to_owned());
    assert_eq!(Snapshot::decode(next.as_bytes(), &terms()), Err(flaw));
    assert_eq!(Snapshot::decode(b"{}\n", &terms()), Err(Flaw::Foreign));
    assert_eq!(Snapshot::decode(b"", &terms()), Err(Flaw::Foreign));
}

#[test]
fn a_shard_of_a_cluster_that_is_not_there_is_no_picture() {
    let mut snapshot = Snapshot::of(&known(meshes_first()), |_| at(5), &terms());
    snapshot.clusters.pop();
    let read = Snapshot::decode(&snapshot.encode().unwrap(), &terms());
    assert!(matches!(read, Err(Flaw::Content(_))), "{read:?}");
}

#[test]
fn the_file_is_replaced_whole_and_only_for_its_owner() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("made/here");
    let store = Store::new(&directory);
    assert!(matches!(store.load(&terms()), Found::Nothing));
    store.replace(b"something").unwrap();
    // What a crash in the middle of a write leaves.
    std::fs::write(directory.join("snapshot.new"), b"half").unwrap();
    store.replace(&small().encode().unwrap()).unwrap();
    match store.load(&terms()) {
        Found::Kept(read) => assert_eq!(*read, small()),
        other => panic!("{other:?}"),
    }
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&store.path()), 0o600);
    assert_eq!(mode(&directory), 0o700);
    let names: Vec<_> = std::fs::read_dir(&directory).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn what_is_no_snapshot_is_set_aside_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path());
    let mut bytes = small().encode().unwrap();
    bytes.pop();
    store.replace(&bytes).unwrap();
    match store.load(&terms()) {
        Found::Unusable(reason) => assert!(reason.contains("truncated"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let aside = directory.path().join("snapshot.set-aside");
    assert_eq!(std::fs::read(aside).unwrap(), bytes);
    assert!(matches!(store.load(&terms()), Found::Nothing));
}
