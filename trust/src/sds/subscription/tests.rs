use envoy_types::pb::google::rpc::Status;

use super::*;
use crate::{
    samples::{DAY, id, now, root},
    sds::secrets::{CERTIFICATE, ROOTS},
};

fn asks(names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        resource_names_subscribe: names.iter().map(|&name| name.to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn secrets(ca: &crate::hierarchy::Ca) -> Secrets {
    Secrets::new(&ca.issue(&id("client"), DAY, now()).unwrap())
}

/// The names that were sent, and those said not to exist.
fn told(answer: &DeltaDiscoveryResponse) -> (Vec<&str>, Vec<&str>) {
    let sent = answer.resources.iter().map(|r| r.name.as_str());
    let removed = answer.removed_resources.iter().map(String::as_str);
    (sent.collect(), removed.collect())
}

fn answer(heard: Heard) -> DeltaDiscoveryResponse {
    match heard {
        Heard::Answer(answer) => answer,
        _ => panic!("an answer was expected"),
    }
}

#[test]
fn a_client_is_told_what_it_asked_for_and_once() {
    let (secrets, mut stream) = (secrets(&root()), Subscription::default());
    let first = answer(stream.hear(asks(&[CERTIFICATE]), &secrets));
    assert_eq!(told(&first), (vec![CERTIFICATE], vec![]));
    let ack = DeltaDiscoveryRequest {
        response_nonce: first.nonce.clone(),
        ..asks(&[])
    };
    assert!(matches!(stream.hear(ack, &secrets), Heard::Nothing));
    let second = answer(stream.hear(asks(&[ROOTS]), &secrets));
    assert_eq!(told(&second), (vec![ROOTS], vec![]));
    assert_ne!(first.nonce, second.nonce);
    assert_eq!(stream.changed(&secrets), None);
}

#[test]
fn a_renewed_leaf_sends_the_same_roots_not_again() {
    let (ca, mut stream) = (root(), Subscription::default());
    answer(stream.hear(asks(&[CERTIFICATE, ROOTS]), &secrets(&ca)));
    let renewed = stream.changed(&secrets(&ca)).unwrap();
    assert_eq!(told(&renewed).0, [CERTIFICATE]);
    let other_root = stream.changed(&secrets(&root())).unwrap();
    assert_eq!(told(&other_root).0, [CERTIFICATE, ROOTS]);
}

#[test]
fn a_name_that_is_not_served_does_not_exist() {
    let (secrets, mut stream) = (secrets(&root()), Subscription::default());
    let other = "spiffe://cluster.local/ns/sample/sa/admin";
    let answered = answer(stream.hear(asks(&[other]), &secrets));
    assert_eq!(told(&answered), (vec![], vec![other]));
    assert_eq!(stream.changed(&secrets), None);
}

#[test]
fn a_client_that_comes_back_is_told_what_is_new() {
    let (ca, mut stream) = (root(), Subscription::default());
    let before = secrets(&ca);
    let versions: HashMap<_, _> = before
        .all()
        .map(|r| (r.name.clone(), r.version.clone()))
        .collect();
    let again = DeltaDiscoveryRequest {
        initial_resource_versions: versions,
        ..asks(&[CERTIFICATE, ROOTS])
    };
    let answered = answer(stream.hear(again.clone(), &secrets(&ca)));
    assert_eq!(told(&answered).0, [CERTIFICATE]);
    let mut stream = Subscription::default();
    assert!(matches!(stream.hear(again, &before), Heard::Nothing));
}

#[test]
fn who_subscribes_again_is_sent_again_and_who_left_is_not() {
    let (ca, mut stream) = (root(), Subscription::default());
    let now = secrets(&ca);
    answer(stream.hear(asks(&[CERTIFICATE]), &now));
    let again = answer(stream.hear(asks(&[CERTIFICATE]), &now));
    assert_eq!(told(&again).0, [CERTIFICATE]);
    let leave = DeltaDiscoveryRequest {
        resource_names_unsubscribe: vec![CERTIFICATE.to_owned()],
        ..DeltaDiscoveryRequest::default()
    };
    assert!(matches!(stream.hear(leave, &now), Heard::Nothing));
    assert_eq!(stream.changed(&secrets(&ca)), None);
}

#[test]
fn a_stream_that_begins_without_names_or_with_a_star_gets_everything() {
    for first in [asks(&[]), asks(&["*"])] {
        let mut stream = Subscription::default();
        let answered = answer(stream.hear(first, &secrets(&root())));
        assert_eq!(told(&answered).0, [CERTIFICATE, ROOTS]);
    }
}

#[test]
fn a_rejection_is_heard_and_not_answered_with_the_same() {
    let (secrets, mut stream) = (secrets(&root()), Subscription::default());
    answer(stream.hear(asks(&[CERTIFICATE]), &secrets));
    let nack = DeltaDiscoveryRequest {
        error_detail: Some(Status {
            message: "bad key".to_owned(),
            ..Status::default()
        }),
        ..asks(&[])
    };
    let heard = stream.hear(nack, &secrets);
    assert!(matches!(heard, Heard::Rejected(why) if why == "bad key"));
    assert_eq!(stream.changed(&secrets), None);
}

#[test]
fn another_type_is_misplaced() {
    let (secrets, mut stream) = (secrets(&root()), Subscription::default());
    let request = DeltaDiscoveryRequest {
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
        ..asks(&[CERTIFICATE])
    };
    assert!(matches!(
        stream.hear(request, &secrets),
        Heard::Misplaced(_)
    ));
}
