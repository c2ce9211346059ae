use std::collections::BTreeMap;

use discovery::{
    model::ServiceKey,
    serve::xds::resource::{
        Resource as Encoded, Routes as EncodedRoutes, assignment, outbound_listener,
        sidecar_cluster,
    },
};

use super::*;
use crate::sidecar::session::Resource;

const CLUSTER: &str = "outbound|80||a.sample.svc.cluster.local";

fn cluster() -> Encoded {
    let key = ServiceKey::new("sample", "a");
    sidecar_cluster(&key, 80, "cluster.local", &Default::default())
}

fn routes() -> Encoded {
    let services = BTreeMap::from([(ServiceKey::new("sample", "a"), vec![80])]);
    EncodedRoutes::new(&services).encode("sample", "cluster.local")
}

fn resource(encoded: &Encoded) -> Resource {
    Resource {
        name: encoded.name().to_string(),
        version: encoded.version(),
        bytes: encoded.bytes().to_vec(),
    }
}

fn update(kind: Kind, resources: Vec<Resource>, removed: &[&str]) -> Update {
    Update {
        kind,
        resources,
        removed: removed.iter().map(ToString::to_string).collect(),
    }
}

/// Everything that a sidecar with one service is told, in order.
fn told() -> Known {
    let mut known = Known::default();
    for (kind, encoded) in [
        (Kind::Cluster, cluster()),
        (Kind::Assignment, assignment(CLUSTER, "sample", &[])),
        (Kind::Listener, outbound_listener([127, 0, 0, 1].into())),
        (Kind::Route, routes()),
    ] {
        assert!(!known.is_complete());
        let refused = known.apply(update(kind, vec![resource(&encoded)], &[]));
        assert_eq!(refused, [] as [String; 0]);
    }
    known
}

#[test]
fn it_is_complete_when_all_that_is_referred_to_is_there() {
    let known = told();
    assert!(known.is_complete());
    assert_eq!(known.wanted(Kind::Assignment), [CLUSTER.to_owned()].into());
    assert_eq!(known.wanted(Kind::Route), ["outbound".to_owned()].into());
    assert_eq!(known.versions(Kind::Cluster)[CLUSTER], cluster().version());
}

#[test]
fn what_is_refused_leaves_what_was_before_and_is_named_until_it_is_replaced() {
    let mut known = told();
    let before = Arc::clone(known.clusters.get(CLUSTER).unwrap());
    let bad = |name: &str| Resource {
        name: name.to_owned(),
        version: "2".to_owned(),
        bytes: vec![0xff],
    };
    let other = Resource {
        name: "other".to_owned(),
        ..resource(&cluster())
    };
    let refused = known.apply(update(Kind::Cluster, vec![bad(CLUSTER), other], &[]));
    assert_eq!(refused.len(), 1);
    assert!(refused[0].starts_with(CLUSTER));
    assert!(Arc::ptr_eq(known.clusters.get(CLUSTER).unwrap(), &before));
    assert!(known.clusters.get("other").is_some(), "the rest is taken");
    assert_eq!(known.versions(Kind::Cluster)[CLUSTER], cluster().version());
    assert!(
        known
            .refused()
            .contains_key(&(Kind::Cluster, CLUSTER.to_owned()))
    );
    known.apply(update(Kind::Cluster, vec![resource(&cluster())], &[]));
    assert!(known.refused().is_empty());
}

#[test]
fn an_assignment_goes_with_its_cluster_and_not_before() {
    let mut known = told();
    known.apply(update(Kind::Assignment, Vec::new(), &[CLUSTER]));
    assert!(known.assignments.get(CLUSTER).is_some());
    known.apply(update(Kind::Cluster, Vec::new(), &[CLUSTER]));
    assert!(known.assignments.get(CLUSTER).is_none());
    // The answer to a question that was taken back.
    let late = resource(&assignment(CLUSTER, "sample", &[]));
    known.apply(update(Kind::Assignment, vec![late], &[]));
    assert!(known.assignments.get(CLUSTER).is_none());
}

#[test]
fn routes_go_with_the_last_listener_that_asks_for_them() {
    let mut known = told();
    known.apply(update(Kind::Route, Vec::new(), &["outbound"]));
    assert!(known.routes.get("outbound").is_some());
    known.apply(update(Kind::Listener, Vec::new(), &["outbound"]));
    assert!(known.routes.get("outbound").is_none());
    assert!(known.is_complete());
}
