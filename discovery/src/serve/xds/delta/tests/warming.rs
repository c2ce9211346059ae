//! A viewer that answers as Envoy does: for clusters not before all of them are warm.
//!
//! (`ClusterManagerImpl::updateClusterCounts` leaves CDS paused while one is warming, and an
//! answer with it; an assignment from before the cluster came warms nothing.)

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// Clusters and assignments have these contents, where there are any.
    Tell(Vec<Option<(u8, u8)>>),
    Read,
}

#[derive(Default)]
struct Envoy {
    held: BTreeMap<(Kind, String), String>,
    warming: BTreeSet<String>,
    /// The answer for clusters.
    owed: Option<Request>,
}

impl Envoy {
    /// Whether there was something to read.
    fn read(&mut self, session: &mut Session) -> bool {
        let Some(response) = session.respond() else {
            return false;
        };
        let mut answers = vec![ack(&response)];
        for resource in &response.resources {
            let name = resource.name().to_string();
            let key = (response.kind, name.clone());
            let before = self.held.insert(key, resource.version());
            match response.kind {
                Cluster => {
                    self.warming.insert(name.clone());
                    let new = before.is_none();
                    answers.extend(new.then(|| subscribe(Assignment, &[&name])));
                }
                _ => {
                    self.warming.remove(&name);
                }
            }
        }
        for name in &response.removed {
            self.held.remove(&(response.kind, name.to_string()));
            self.warming.remove(&**name);
            let mut request = subscribe(Assignment, &[]);
            request.resource_names_unsubscribe = vec![name.to_string()];
            answers.push(request);
        }
        if response.kind == Cluster {
            self.owed = Some(answers.remove(0));
        }
        for answer in answers {
            session.request(answer).unwrap();
        }
        if self.warming.is_empty()
            && let Some(answer) = self.owed.take()
        {
            session.request(answer).unwrap();
        }
        true
    }
}

fn contents(all: &[Option<(u8, u8)>]) -> Offer {
    let both = NAMES
        .iter()
        .zip(all)
        .filter_map(|(name, c)| Some((name, (*c)?)));
    Offer::of(both.flat_map(|(name, (cluster, assignment))| {
        let cluster = resource(Cluster, name, cluster);
        let follows = resource(Assignment, name, assignment).follows(&cluster);
        [cluster, follows]
    }))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let content = proptest::option::weighted(0.9, (0..3_u8, 0..3_u8));
    let step = prop_oneof![
        1 => vec(content, NAMES.len()).prop_map(Step::Tell),
        2 => Just(Step::Read),
    ];
    vec(step, 1..60)
}

#[test]
fn a_cluster_that_changes_while_it_is_warmed_is_warmed() {
    let mut session = Session::new("s".into(), 10, contents(&[Some((1, 1))]));
    session.request(subscribe(Cluster, &[])).unwrap();
    let mut envoy = Envoy::default();
    assert!(envoy.read(&mut session));
    session.tell(&contents(&[Some((2, 1))]));
    while envoy.read(&mut session) {}
    assert!(envoy.warming.is_empty(), "nobody answers any more");
    let newest = resource(Cluster, "a", 2).version();
    assert_eq!(envoy.held[&(Cluster, "a".into())], newest);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn an_envoy_ends_warm_and_with_what_it_is_told(steps in steps()) {
        let mut last = contents(&[]);
        let mut session = Session::new("s".into(), 10, last.clone());
        session.request(subscribe(Cluster, &[])).unwrap();
        let mut envoy = Envoy::default();
        for step in steps {
            match step {
                Step::Read => {
                    envoy.read(&mut session);
                }
                Step::Tell(all) => {
                    last = contents(&all);
                    session.tell(&last);
                }
            }
        }
        while envoy.read(&mut session) {}
        prop_assert!(envoy.warming.is_empty(), "{:?} wait for ever", envoy.warming);
        for name in NAMES.map(Arc::from) {
            for kind in [Cluster, Assignment] {
                let told = last.get(kind, &name).map(Resource::version);
                let held = envoy.held.get(&(kind, name.to_string()));
                if told.is_some() || kind == Cluster {
                    prop_assert_eq!(held.cloned(), told);
                }
            }
        }
    }
}
