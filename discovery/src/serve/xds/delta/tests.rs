mod model;
mod refusals;
mod warming;

use std::collections::HashMap;

use envoy_types::pb::{
    envoy::config::core::v3::Locality as Content, google::rpc::Status as ErrorDetail,
};

use super::*;
use Kind::{Assignment, Cluster, Listener, Route};

type Request = discovery::DeltaDiscoveryRequest;

/// A resource of some content.
fn resource(kind: Kind, name: &str, content: u8) -> Resource {
    let message = Content {
        region: content.to_string(),
        ..Content::default()
    };
    Resource::encode(kind, name, &message)
}

fn offer(resources: &[(Kind, &str, u8)]) -> Offer {
    Offer::of(
        resources
            .iter()
            .map(|(kind, name, content)| resource(*kind, name, *content)),
    )
}

fn session(resources: &[(Kind, &str, u8)]) -> Session {
    Session::new("s".into(), 10, offer(resources))
}

fn subscribe(kind: Kind, names: &[&str]) -> Request {
    Request {
        type_url: kind.url().into(),
        resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
        ..Request::default()
    }
}

fn ack(response: &Response) -> Request {
    Request {
        type_url: response.kind.url().into(),
        response_nonce: response.nonce.clone(),
        ..Request::default()
    }
}

fn nack(response: &Response, text: &str) -> Request {
    Request {
        error_detail: Some(ErrorDetail {
            message: text.into(),
            ..ErrorDetail::default()
        }),
        ..ack(response)
    }
}

fn names(response: &Response) -> Vec<&str> {
    response
        .resources
        .iter()
        .map(|resource| &**resource.name())
        .collect()
}

/// A session whose viewer has asked for everything and taken the first answers.
fn settled(resources: &[(Kind, &str, u8)]) -> Session {
    let mut session = session(resources);
    session.request(subscribe(Cluster, &[])).unwrap();
    let assignments: Vec<_> = (resources.iter())
        .filter(|(kind, ..)| *kind == Assignment)
        .map(|(_, name, _)| *name)
        .collect();
    session
        .request(subscribe(Assignment, &assignments))
        .unwrap();
    session.request(subscribe(Listener, &[])).unwrap();
    session.request(subscribe(Route, &["outbound"])).unwrap();
    while let Some(response) = session.respond() {
        session.request(ack(&response)).unwrap();
    }
    session
}

#[test]
fn everything_is_answered_once() {
    let mut session = session(&[(Cluster, "a", 1), (Cluster, "b", 1)]);
    session.request(subscribe(Cluster, &[])).unwrap();
    let response = session.respond().unwrap();
    assert_eq!(
        (names(&response), response.removed.len()),
        (vec!["a", "b"], 0)
    );
    assert_eq!(session.respond(), None, "one response is on its way");
    assert_eq!(
        session.request(ack(&response)).unwrap(),
        Heard::Ack(Cluster)
    );
    assert_eq!(session.respond(), None, "nothing new");
}

#[test]
fn nothing_is_an_answer_too() {
    let mut session = session(&[]);
    session.request(subscribe(Cluster, &["*"])).unwrap();
    let response = session.respond().unwrap();
    assert!(response.resources.is_empty() && response.removed.is_empty());
}

#[test]
fn only_what_changed_is_sent_and_the_newest_of_it() {
    let mut session = session(&[(Cluster, "a", 1), (Cluster, "b", 1)]);
    session.request(subscribe(Cluster, &[])).unwrap();
    let first = session.respond().unwrap();
    session.tell(&offer(&[(Cluster, "a", 2), (Cluster, "b", 1)]));
    session.tell(&offer(&[(Cluster, "a", 3), (Cluster, "b", 1)]));
    assert_eq!(session.respond(), None);
    session.request(ack(&first)).unwrap();
    let second = session.respond().unwrap();
    assert_eq!(second.resources, [resource(Cluster, "a", 3)]);
}

#[test]
fn unknown_names_get_empty_assignments_and_routes() {
    let mut session = session(&[]);
    session.request(subscribe(Assignment, &["x"])).unwrap();
    let response = session.respond().unwrap();
    assert_eq!(names(&response), ["x"]);
    session.request(subscribe(Route, &["nosuch"])).unwrap();
    assert_eq!(names(&session.respond().unwrap()), ["nosuch"]);
    session.request(subscribe(Listener, &["l"])).unwrap();
    assert_eq!(session.respond().unwrap().removed, ["l".into()]);
}

#[test]
fn a_viewer_that_comes_back_gets_what_differs() {
    let have = resource(Cluster, "a", 1).version();
    let mut session = session(&[(Cluster, "a", 1), (Cluster, "b", 2), (Cluster, "c", 1)]);
    let mut request = subscribe(Cluster, &[]);
    request.initial_resource_versions = HashMap::from([
        ("a".into(), have.clone()),
        ("b".into(), have),
        ("gone".into(), "1".into()),
    ]);
    session.request(request).unwrap();
    let response = session.respond().unwrap();
    assert_eq!(names(&response), ["b", "c"]);
    assert_eq!(response.removed, ["gone".into()]);
}

#[test]
fn named_resources_that_a_viewer_still_has_are_not_sent_again() {
    let mut session = session(&[(Assignment, "a", 1), (Assignment, "b", 1)]);
    let mut request = subscribe(Assignment, &["a", "b"]);
    let have = resource(Assignment, "a", 1).version();
    request.initial_resource_versions = HashMap::from([("a".into(), have)]);
    session.request(request).unwrap();
    assert_eq!(names(&session.respond().unwrap()), ["b"]);
}

#[test]
fn a_name_asked_for_again_is_sent_again() {
    let mut session = settled(&[(Assignment, "a", 1)]);
    session.request(subscribe(Assignment, &["a"])).unwrap();
    assert_eq!(names(&session.respond().unwrap()), ["a"]);
}

#[test]
fn a_name_no_longer_asked_for_is_not_sent() {
    let mut session = settled(&[(Assignment, "a", 1), (Assignment, "b", 1)]);
    session.tell(&offer(&[(Assignment, "a", 2), (Assignment, "b", 2)]));
    let mut request = subscribe(Assignment, &[]);
    request.resource_names_unsubscribe = vec!["a".into()];
    session.request(request).unwrap();
    assert_eq!(names(&session.respond().unwrap()), ["b"]);
}

#[test]
fn stale_nonces_are_not_listened_to() {
    let mut session = session(&[(Cluster, "a", 1)]);
    session.request(subscribe(Cluster, &[])).unwrap();
    let first = session.respond().unwrap();
    session.request(ack(&first)).unwrap();
    session.tell(&offer(&[(Cluster, "a", 2)]));
    let second = session.respond().unwrap();
    assert_eq!(session.request(ack(&first)).unwrap(), Heard::Stale(Cluster));
    session.tell(&offer(&[(Cluster, "a", 3)]));
    assert_eq!(session.respond(), None, "the second is still on its way");
    assert_eq!(
        session.request(nack(&first, "late")).unwrap(),
        Heard::Stale(Cluster)
    );
    session.request(ack(&second)).unwrap();
    assert!(session.respond().is_some());
}

#[test]
fn a_refusal_is_kept_and_stops_nothing_else() {
    let mut session = settled(&[(Cluster, "a", 1), (Assignment, "a", 1)]);
    session.tell(&offer(&[(Cluster, "a", 2), (Assignment, "a", 2)]));
    let clusters = session.respond().unwrap();
    session.request(nack(&clusters, "bad cluster a")).unwrap();
    assert_eq!(session.respond().unwrap().kind, Assignment);
    let (_, progress) = session.progress().next().unwrap();
    assert_eq!(progress.last_nack.as_deref(), Some("bad cluster a"));
    assert_ne!(progress.sent, progress.acked);
    session.tell(&offer(&[(Cluster, "a", 3), (Assignment, "a", 2)]));
    assert_eq!(
        session.respond().unwrap().resources,
        [resource(Cluster, "a", 3)]
    );
}

#[test]
fn long_refusals_are_cut_between_characters() {
    let mut session = settled(&[(Cluster, "a", 1)]);
    session.tell(&offer(&[(Cluster, "a", 2)]));
    let response = session.respond().unwrap();
    session.request(nack(&response, &"ä".repeat(5000))).unwrap();
    let (_, progress) = session.progress().next().unwrap();
    assert_eq!(progress.last_nack.unwrap().len(), 2048);
}

#[test]
fn additions_go_from_the_referred_to_the_referring() {
    let mut session = settled(&[(Route, "outbound", 1), (Assignment, "a", 0)]);
    session.tell(&offer(&[
        (Route, "outbound", 2),
        (Listener, "l", 1),
        (Assignment, "a", 1),
        (Cluster, "a", 1),
    ]));
    let order: Vec<_> = std::iter::from_fn(|| session.respond())
        .map(|r| r.kind)
        .collect();
    assert_eq!(order, [Cluster, Assignment, Listener, Route]);
}

#[test]
fn an_assignment_waits_for_its_own_cluster_only() {
    let mut session = settled(&[
        (Assignment, "a", 1),
        (Assignment, "b", 1),
        (Cluster, "b", 1),
        (Cluster, "c", 1),
    ]);
    session.tell(&offer(&[
        (Assignment, "a", 1),
        (Assignment, "b", 1),
        (Cluster, "b", 1),
        (Cluster, "c", 2),
    ]));
    let first = session.respond().unwrap();
    session.tell(&offer(&[
        (Assignment, "a", 2),
        (Assignment, "b", 2),
        (Cluster, "b", 2),
        (Cluster, "c", 2),
        (Route, "outbound", 2),
    ]));
    let second = session.respond().unwrap();
    assert_eq!(names(&second), ["a"], "b would meet the cluster before");
    assert_eq!(session.respond(), None, "routes wait for clusters");
    session.request(ack(&first)).unwrap();
    session.request(ack(&second)).unwrap();
    let order: Vec<_> = std::iter::from_fn(|| session.respond())
        .map(|r| r.kind)
        .collect();
    assert_eq!(order, [Cluster, Assignment, Route]);
}

#[test]
fn a_cluster_goes_after_the_routes_to_it() {
    let before = [
        (Cluster, "a", 1),
        (Assignment, "a", 1),
        (Route, "outbound", 1),
    ];
    let mut session = settled(&before);
    session.tell(&offer(&[(Cluster, "b", 1), (Route, "outbound", 2)]));
    let added = session.respond().unwrap();
    assert_eq!((names(&added), added.removed.len()), (vec!["b"], 0));
    let emptied = session.respond().unwrap();
    assert_eq!((emptied.kind, names(&emptied)), (Assignment, vec!["a"]));
    let routes = session.respond().unwrap();
    assert_eq!(routes.kind, Route);
    session.request(ack(&added)).unwrap();
    let removed = session.respond().unwrap();
    assert_eq!(
        (removed.kind, &removed.removed[..]),
        (Cluster, &["a".into()][..])
    );
}

#[test]
fn a_gateway_is_told_of_a_removal_at_once() {
    let mut session = session(&[(Cluster, "a", 1), (Cluster, "b", 1), (Listener, "mesh", 1)]);
    session.request(subscribe(Cluster, &[])).unwrap();
    session.request(subscribe(Listener, &[])).unwrap();
    while let Some(response) = session.respond() {
        session.request(ack(&response)).unwrap();
    }
    session.tell(&offer(&[(Cluster, "b", 2), (Listener, "mesh", 1)]));
    let response = session.respond().unwrap();
    assert_eq!(
        (names(&response), &response.removed[..]),
        (vec!["b"], &["a".into()][..])
    );
}

#[test]
fn too_many_or_too_long_names_are_refused() {
    let mut session = session(&[]);
    let many: Vec<_> = (0..11).map(|number| number.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let refused = session.request(subscribe(Assignment, &many));
    assert_eq!(refused, Err(Refusal::TooManyNames(10)));
    let refused = session.request(subscribe(Route, &["x".repeat(2000).as_str()]));
    assert_eq!(refused, Err(Refusal::LongName(2000)));
}

#[test]
fn another_type_is_heard_and_not_answered() {
    let mut session = session(&[]);
    let request = Request {
        type_url: "type.googleapis.com/x.Y".into(),
        ..Request::default()
    };
    assert!(matches!(session.request(request), Ok(Heard::Unknown(_))));
    assert_eq!(session.respond(), None);
}
