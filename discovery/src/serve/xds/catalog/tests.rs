use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    horizon::world::{meshes, own, place_service, service},
    model::Shard,
};

fn ground() -> Ground {
    Ground {
        cluster: own(),
        network: None,
        domain: "cluster.local".into(),
    }
}

/// Everything that can be asked of a catalog.
fn all(catalog: &Catalog) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for role in [Role::Sidecar, Role::Gateway] {
        let shelf = catalog.shelf(role);
        for (name, resource) in shelf.clusters.iter().chain(shelf.assignments.iter()) {
            assert_eq!(name, resource.name());
            all.insert(
                format!("{role:?} {:?} {name}", resource.kind()),
                resource.version(),
            );
        }
        all.insert(format!("{role:?}"), format!("{:?}", catalog.withheld(role)));
    }
    for (name, pod) in catalog.pods.iter() {
        all.insert(format!("pod {name}"), format!("{:?}", pod.inbound(None)));
    }
    all.insert("routes".into(), catalog.routes(&"sample".into()).version());
    all
}

/// A change of a mesh: services replaced or gone, or all gateways gone.
#[derive(Debug, Clone)]
enum Step {
    Service(usize, Option<Vec<Option<Shard>>>),
    NoGateways(usize),
    Back(Mesh),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4_usize, proptest::option::weighted(0.8, service()))
            .prop_map(|(index, service)| Step::Service(index, service)),
        1 => (0..4_usize).prop_map(Step::NoGateways),
        1 => meshes().prop_map(Step::Back),
    ]
}

fn apply(mesh: &Mesh, step: Step) -> Mesh {
    let mut next = mesh.clone();
    match step {
        Step::Service(index, None) => {
            let key = ServiceKey::new("sample", &format!("s{index}"));
            next.services.remove(&key);
        }
        Step::Service(index, Some(shards)) => {
            let (key, service) = place_service((index, shards));
            next.services.insert(key, service);
        }
        Step::NoGateways(index) => {
            if let Some(cluster) = next.clusters.values_mut().nth(index) {
                Arc::make_mut(cluster).gateways.clear();
            }
        }
        Step::Back(other) => next = other,
    }
    next
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn step_by_step_is_the_same_as_at_once(first in meshes(), steps in vec(steps(), 1..8)) {
        let mut mesh = Arc::new(first);
        let mut catalog = Catalog::new(ground()).next(&mesh).unwrap();
        for step in steps {
            mesh = Arc::new(apply(&mesh, step));
            catalog = catalog.next(&mesh).unwrap();
            prop_assert_eq!(all(&catalog), all(&Catalog::new(ground()).next(&mesh).unwrap()));
        }
    }
}

#[test]
fn a_mesh_without_the_own_cluster_says_nothing() {
    let catalog = Catalog::new(ground());
    assert!(!catalog.is_ready());
    assert!(catalog.next(&Arc::default()).is_none());
}
