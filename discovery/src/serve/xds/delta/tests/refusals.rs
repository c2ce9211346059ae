//! Viewers that refuse: what they are sent again, and what not.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

/// Refuses every response with something bad in it as a whole, and counts how often each
/// resource came.
#[derive(Default)]
struct Strict {
    bad: BTreeSet<String>,
    held: BTreeMap<String, String>,
    came: BTreeMap<(String, String), usize>,
}

impl Strict {
    fn of(bad: impl IntoIterator<Item = Resource>) -> Self {
        Self {
            bad: bad.into_iter().map(|resource| resource.version()).collect(),
            ..Self::default()
        }
    }

    /// Answers until nothing comes any more; says how many responses came.
    fn read(&mut self, session: &mut Session) -> usize {
        let mut responses = 0;
        while let Some(response) = session.respond() {
            responses += 1;
            assert!(responses < 1000, "it goes on for ever");
            let answer = self.take(&response);
            session.request(answer).unwrap();
        }
        responses
    }

    fn take(&mut self, response: &Response) -> Request {
        let named = |resource: &Resource| (resource.name().to_string(), resource.version());
        for resource in &response.resources {
            *self.came.entry(named(resource)).or_default() += 1;
        }
        let bad = |resource: &Resource| self.bad.contains(&resource.version());
        if response.resources.iter().any(bad) {
            return nack(response, "bad");
        }
        self.held.extend(response.resources.iter().map(named));
        for name in &response.removed {
            self.held.remove(&**name);
        }
        ack(response)
    }
}

fn assignments(contents: &[u8]) -> Vec<(Kind, String, u8)> {
    let numbered = contents.iter().enumerate();
    numbered
        .map(|(index, content)| (Assignment, format!("n{index:03}"), *content))
        .collect()
}

fn told(contents: &[u8]) -> Offer {
    let all = assignments(contents);
    Offer::of(all.iter().map(|(kind, name, c)| resource(*kind, name, *c)))
}

/// A stream that has asked for as many assignments.
fn asking(contents: &[u8]) -> Session {
    let mut session = Session::new("s".into(), 1000, told(contents));
    let all = assignments(contents);
    let names: Vec<&str> = all.iter().map(|(_, name, _)| name.as_str()).collect();
    session.request(subscribe(Assignment, &names)).unwrap();
    session
}

fn shown(session: &Session) -> Progress {
    session.progress().next().unwrap().1
}

const BAD: u8 = 66;

fn bad(name: &str) -> Resource {
    resource(Assignment, name, BAD)
}

#[test]
fn what_was_good_in_a_refused_response_comes_without_the_bad() {
    let mut contents = [1; 100];
    contents[37] = BAD;
    let mut session = asking(&contents);
    let mut viewer = Strict::of([bad("n037")]);
    viewer.read(&mut session);
    assert_eq!(viewer.held.len(), 99);
    assert_eq!(shown(&session).refused, ["n037".into()]);
    let version = ("n037".to_owned(), bad("n037").version());
    assert!(viewer.came[&version] <= 8, "halved seven times");
    assert_eq!(viewer.read(&mut session), 0, "and no more");
}

#[test]
fn the_next_version_of_what_was_refused_is_sent() {
    let mut session = asking(&[1, BAD, 1]);
    let mut viewer = Strict::of([bad("n001")]);
    viewer.read(&mut session);
    session.tell(&told(&[1, BAD, 2]));
    assert_eq!(
        viewer.read(&mut session),
        1,
        "the refused one did not change"
    );
    session.tell(&told(&[1, 3, 2]));
    assert_eq!(viewer.read(&mut session), 1);
    assert_eq!(viewer.held.len(), 3);
    assert!(shown(&session).refused.is_empty());
    assert_eq!(shown(&session).last_nack.as_deref(), Some("bad"));
}

#[test]
fn what_changes_during_the_search_is_sent_as_it_is_then() {
    let mut session = asking(&[1, 1, 1, BAD]);
    let mut viewer = Strict::of([bad("n003")]);
    let first = session.respond().unwrap();
    session.tell(&told(&[2, 1, 1, BAD]));
    session.request(viewer.take(&first)).unwrap();
    viewer.read(&mut session);
    let newest = resource(Assignment, "n000", 2).version();
    assert_eq!(viewer.held["n000"], newest);
    assert_eq!(viewer.came[&("n000".to_owned(), newest)], 1);
}

#[test]
fn a_removal_in_a_refused_response_is_sent_again() {
    let mut session = session(&[(Cluster, "a", 1), (Cluster, "b", 1)]);
    session.request(subscribe(Cluster, &[])).unwrap();
    let mut viewer = Strict::of([resource(Cluster, "b", BAD)]);
    viewer.read(&mut session);
    session.tell(&offer(&[(Cluster, "b", BAD)]));
    viewer.read(&mut session);
    assert!(!viewer.held.contains_key("a"));
    assert_eq!(viewer.held["b"], resource(Cluster, "b", 1).version());
}

#[test]
fn who_refuses_everything_is_left_alone() {
    let contents = [BAD; 900];
    let mut session = asking(&contents);
    let all = assignments(&contents);
    let mut viewer = Strict::of(all.iter().map(|(_, name, _)| bad(name)));
    assert!(viewer.read(&mut session) <= 33);
    let mut next = contents;
    next[5] = 1;
    session.tell(&told(&next));
    viewer.read(&mut session);
    assert_eq!(viewer.held.len(), 1, "a change is still sent");
}

#[test]
fn what_is_no_longer_asked_for_is_not_searched() {
    let mut session = asking(&[1, BAD]);
    let first = session.respond().unwrap();
    session.request(nack(&first, "bad")).unwrap();
    let mut request = subscribe(Assignment, &[]);
    request.resource_names_unsubscribe = vec!["n000".into(), "n001".into()];
    session.request(request).unwrap();
    assert_eq!(session.respond(), None);
}

proptest! {
    #[test]
    fn a_viewer_misses_what_it_refused_and_nothing_else(
        rounds in vec(vec(prop_oneof![4 => 0..4_u8, 1 => Just(BAD)], 16), 1..6),
    ) {
        let mut session = asking(&rounds[0]);
        let names = assignments(&rounds[0]);
        let mut viewer = Strict::of(names.iter().map(|(_, name, _)| bad(name)));
        for contents in &rounds {
            session.tell(&told(contents));
            viewer.read(&mut session);
            let mut refused = Vec::new();
            for (kind, name, content) in assignments(contents) {
                let newest = resource(kind, &name, content).version();
                if content == BAD {
                    refused.push(Arc::from(name.as_str()));
                } else {
                    prop_assert_eq!(viewer.held.get(&name), Some(&newest));
                }
            }
            prop_assert_eq!(shown(&session).refused, refused);
        }
        // A version that comes back is another time.
        let most = 5 * rounds.len();
        prop_assert!(viewer.came.values().all(|times| *times <= most));
    }
}
