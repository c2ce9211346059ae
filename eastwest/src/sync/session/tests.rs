use prost::Message;

use super::*;

fn response(kind: Kind, nonce: &str) -> Response {
    Response {
        type_url: kind.url().to_owned(),
        nonce: nonce.to_owned(),
        ..Default::default()
    }
}

fn names(names: &[&str]) -> HashSet<Arc<str>> {
    names.iter().map(|&name| name.into()).collect()
}

#[test]
fn the_node_comes_first_and_once() {
    let mut session = Session::new(Node::default());
    assert!(
        session
            .everything(Kind::Cluster, [])
            .unwrap()
            .node
            .is_some()
    );
    assert!(
        session
            .everything(Kind::Listener, [])
            .unwrap()
            .node
            .is_none()
    );
    assert_eq!(session.everything(Kind::Cluster, []), None);
}

#[test]
fn an_answer_carries_the_nonce_and_nothing_else() {
    let mut session = Session::new(Node::default());
    let _ = session.everything(Kind::Cluster, []);
    let (answer, _) = session.receive(response(Kind::Cluster, "n1")).unwrap();
    let ack = answer.ack();
    assert_eq!(
        (ack.response_nonce.as_str(), &ack.error_detail),
        ("n1", &None)
    );
    assert!(ack.resource_names_subscribe.is_empty());
    let (answer, _) = session.receive(response(Kind::Cluster, "n2")).unwrap();
    let nack = answer.nack("a".to_owned());
    assert_eq!(nack.response_nonce, "n2");
    assert_eq!(nack.error_detail.unwrap().message, "a");
}

#[test]
fn what_was_not_asked_for_on_this_stream_cannot_be_answered() {
    let mut session = Session::new(Node::default());
    let _ = session.everything(Kind::Cluster, []);
    assert!(session.receive(response(Kind::Assignment, "n1")).is_err());
    assert!(session.receive(response(Kind::Cluster, "")).is_err());
    let mut strange = response(Kind::Cluster, "n1");
    strange.type_url = "type.googleapis.com/other".to_owned();
    assert!(session.receive(strange).is_err());
}

#[test]
fn only_the_first_response_to_a_wildcard_is_the_whole_set() {
    let mut session = Session::new(Node::default());
    let _ = session.everything(Kind::Cluster, []);
    let _ = session.assignments(&names(&["a"]));
    let whole = |session: &mut Session, kind| {
        let (_, update) = session.receive(response(kind, "n")).unwrap();
        update.whole
    };
    assert!(whole(&mut session, Kind::Cluster));
    assert!(!whole(&mut session, Kind::Cluster));
    assert!(!whole(&mut session, Kind::Assignment));
}

#[test]
fn assignments_are_asked_for_by_difference_and_never_without_names() {
    let mut session = Session::new(Node::default());
    assert_eq!(session.assignments(&names(&[])), []);
    let first = session.assignments(&names(&["a", "b"]));
    let mut asked = first[0].resource_names_subscribe.clone();
    asked.sort();
    assert_eq!(asked, ["a", "b"]);
    assert_eq!(session.assignments(&names(&["a", "b"])), []);
    let second = session.assignments(&names(&["b", "c"]));
    assert_eq!(second[0].resource_names_subscribe, ["c"]);
    assert_eq!(second[1].resource_names_unsubscribe, ["a"]);
    assert!(
        second
            .iter()
            .all(|request| request.response_nonce.is_empty())
    );
}

#[test]
fn no_request_is_longer_than_an_istiod_takes() {
    let mut session = Session::new(Node::default());
    let name = |i: usize| format!("{i:0>253}");
    let all: HashSet<Arc<str>> = (0..3 * MOST_NAMES).map(|i| name(i).into()).collect();
    let requests = session.assignments(&all);
    assert_eq!(requests.len(), 3);
    let longest = requests.iter().map(Message::encoded_len).max().unwrap();
    assert!(longest < 4 << 20, "{longest}");
    let few = session.everything(Kind::Cluster, ["a".to_owned()]).unwrap();
    assert_eq!(few.initial_resource_versions["a"], "");
    let many = session
        .everything(Kind::Listener, all.iter().map(ToString::to_string))
        .unwrap();
    assert!(many.initial_resource_versions.is_empty());
}
