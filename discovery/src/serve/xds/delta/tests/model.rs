//! A viewer that does anything in any order, beside a plain model of what it must know.

use std::collections::{BTreeMap, VecDeque};

use proptest::{collection::vec, prelude::*, sample::subsequence};

use super::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Tell(Vec<(Kind, &'static str, u8)>),
    Subscribe(Kind, Vec<&'static str>),
    Unsubscribe(Kind, Vec<&'static str>),
    All(Kind),
    Read,
    Answer { refuse: bool },
}

/// What the viewer holds.
#[derive(Default)]
struct Viewer {
    held: BTreeMap<(Kind, String), String>,
    all: BTreeSet<Kind>,
    asked: BTreeSet<(Kind, String)>,
    unanswered: VecDeque<Response>,
}

fn kinds() -> impl Strategy<Value = Kind> {
    proptest::sample::select(Kind::ALL.to_vec())
}

fn steps() -> impl Strategy<Value = Step> {
    let names = || subsequence(NAMES.to_vec(), 0..4);
    let contents = vec(
        (kinds(), proptest::sample::select(NAMES.to_vec()), 0..3_u8),
        0..8,
    );
    prop_oneof![
        3 => contents.prop_map(Step::Tell),
        1 => (kinds(), names()).prop_map(|(kind, names)| Step::Subscribe(kind, names)),
        1 => (kinds(), names()).prop_map(|(kind, names)| Step::Unsubscribe(kind, names)),
        1 => kinds().prop_map(Step::All),
        6 => Just(Step::Read),
        4 => any::<bool>().prop_map(|refuse| Step::Answer { refuse }),
    ]
}

impl Viewer {
    fn step(&mut self, session: &mut Session, step: Step) {
        match step {
            Step::Tell(resources) => session.tell(&offer(&resources)),
            Step::All(kind) => {
                session.request(subscribe(kind, &["*"])).unwrap();
                self.all.insert(kind);
            }
            Step::Subscribe(kind, names) => {
                let request = subscribe(kind, &names);
                // The first bare request of these kinds asks for everything.
                let bare = names.is_empty() && matches!(kind, Cluster | Listener);
                let known = session.progress().any(|(known, _)| known == kind);
                if bare && !known {
                    self.all.insert(kind);
                }
                session.request(request).unwrap();
                self.asked
                    .extend(names.iter().map(|name| (kind, (*name).to_owned())));
            }
            Step::Unsubscribe(kind, names) => {
                // An empty first request would be one for everything.
                let mut request = subscribe(kind, &["d"]);
                self.asked.insert((kind, "d".into()));
                request.resource_names_unsubscribe =
                    names.iter().map(ToString::to_string).collect();
                session.request(request).unwrap();
                for name in names.into_iter().filter(|name| *name != "d") {
                    self.asked.remove(&(kind, name.to_owned()));
                }
            }
            Step::Read => {
                if let Some(response) = session.respond() {
                    self.read(session, response);
                }
            }
            Step::Answer { refuse } => self.answer(session, refuse),
        }
    }

    fn read(&mut self, session: &Session, response: Response) {
        let kind = response.kind;
        let busy = self.unanswered.iter().any(|other| other.kind == kind);
        assert!(!busy, "one response of a kind at a time");
        self.check_order(session, &response);
        for resource in &response.resources {
            self.held
                .insert((kind, resource.name().to_string()), resource.version());
        }
        for name in &response.removed {
            self.held.remove(&(kind, name.to_string()));
        }
        self.unanswered.push_back(response);
    }

    /// Nothing is sent before what it refers to, or after what refers to it.
    fn check_order(&self, session: &Session, response: &Response) {
        if !self.all.contains(&Cluster) {
            return;
        }
        let fresh = |name: &Arc<str>| {
            let offered = session.offer.get(Cluster, name).map(Resource::version);
            offered.is_none() || self.held.get(&(Cluster, name.to_string())) == offered.as_ref()
        };
        match response.kind {
            Assignment => {
                let ordered = |r: &Resource| fresh(r.name()) || self.is_coming(r.name());
                assert!(response.resources.iter().all(ordered));
            }
            Listener | Route if response.resources.is_empty() => {}
            Listener | Route => assert!(session.offer.names(Cluster).all(fresh)),
            Cluster if response.removed.is_empty() => {}
            Cluster => {
                for kind in [Listener, Route] {
                    self.check_known(session, kind);
                }
            }
        }
    }

    /// Whether news of the cluster were read and not answered yet.
    fn is_coming(&self, name: &Arc<str>) -> bool {
        let clusters = self.unanswered.iter().filter(|r| r.kind == Cluster);
        let mut resources = clusters.flat_map(|response| &response.resources);
        resources.any(|resource| resource.name() == name)
    }

    fn answer(&mut self, session: &mut Session, refuse: bool) {
        let Some(response) = self.unanswered.pop_front() else {
            return;
        };
        let answer = if refuse {
            nack(&response, "no")
        } else {
            ack(&response)
        };
        let heard = session.request(answer).unwrap();
        assert!(!matches!(heard, Heard::Stale(_)));
    }

    /// Everything of a kind that the viewer asks for is what it is told of now.
    fn check_known(&self, session: &Session, kind: Kind) {
        let offered = |name: &str| session.offer.get(kind, &name.into()).map(Resource::version);
        for name in NAMES {
            let asked = self.asked.contains(&(kind, name.to_owned()));
            let held = self.held.get(&(kind, name.to_owned())).cloned();
            let empty = || Resource::empty(kind, name).map(|empty| empty.version());
            if asked {
                assert_eq!(held, offered(name).or_else(empty), "{kind:?} {name}");
            } else if self.all.contains(&kind) && offered(name).is_some() {
                assert_eq!(held, offered(name), "{kind:?} {name}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn a_viewer_ends_with_what_it_is_told(steps in vec(steps(), 1..60)) {
        let mut session = session(&[(Cluster, "a", 1), (Assignment, "a", 1)]);
        let mut viewer = Viewer::default();
        for step in steps {
            viewer.step(&mut session, step);
        }
        for _ in 0..20 {
            while let Some(response) = session.respond() {
                viewer.read(&session, response);
            }
            while !viewer.unanswered.is_empty() {
                viewer.answer(&mut session, false);
            }
        }
        prop_assert_eq!(session.respond(), None);
        for kind in Kind::ALL {
            viewer.check_known(&session, kind);
        }
    }
}
