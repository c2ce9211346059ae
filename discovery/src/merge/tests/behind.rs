//! Slices are ahead of pods: their watches are two, and one of them may be slow or broken.

use super::*;

impl World {
    fn apply_at(&mut self, at: Revision, cluster: &str, name: &str, fact: Fact) -> Effect {
        let kind = kind_of(&fact);
        self.change_at(at, cluster, kind, Change::Applied(key(name), fact))
    }

    fn gone_at(&mut self, at: Revision, cluster: &str, kind: Kind, name: &str) -> Effect {
        self.change_at(at, cluster, kind, Change::Gone(key(name)))
    }

    /// Whatever happened to pods until then is known.
    fn pods_reach(&mut self, at: Revision, cluster: &str) -> Effect {
        self.news(cluster, News::Reached(Kind::Pod, at));
        self.0.settle()
    }

    /// Pods that are ready in the picture.
    fn ready(&self, cluster: &str) -> Vec<Arc<str>> {
        let endpoints = self.endpoints(cluster).into_iter();
        let ready = endpoints.filter(|endpoint| endpoint.ready);
        ready.map(|endpoint| Arc::clone(&endpoint.pod)).collect()
    }

    fn notes(&self, cluster: &str) -> Vec<String> {
        self.0.tallies()[&cluster.into()].notes.clone()
    }
}

/// `hello` of one pod `a`, rolled over to `b`, of which only the slice is known.
fn rolled_over(cluster: &str) -> World {
    let mut world = World::complete();
    world.apply_at(1, cluster, "hello", service(true));
    world.apply_at(2, cluster, "a", pod("10.0.0.1"));
    world.apply_at(3, cluster, "hello-1", slice(&[("a", "10.0.0.1", true)]));
    assert_eq!(world.ready(cluster), ["a".into()]);
    let both = slice(&[("a", "10.0.0.1", false), ("b", "10.0.0.2", true)]);
    assert_eq!(world.apply_at(11, cluster, "hello-1", both), Effect::None);
    let effect = world.apply_at(12, cluster, "hello-1", slice(&[("b", "10.0.0.2", true)]));
    assert_eq!(effect, Effect::None);
    world
}

#[test]
fn a_service_is_not_emptied_by_pods_that_are_not_known_yet() {
    for cluster in [OWN, PEER] {
        let mut world = rolled_over(cluster);
        assert_eq!(world.ready(cluster), ["a".into()]);
        assert!(world.notes(cluster)[0].starts_with("service sample/hello: the pods"));
        let known = world.apply_at(10, cluster, "b", pod("10.0.0.2"));
        assert_eq!(known, Effect::Removal, "of a, which is not named any more");
        assert_eq!(world.ready(cluster), ["b".into()]);
        assert_eq!(world.notes(cluster), [""; 0]);
    }
}

#[test]
fn nothing_is_kept_when_pods_are_known_as_far_as_the_slice() {
    let mut world = rolled_over(PEER);
    assert_eq!(world.pods_reach(11, PEER), Effect::None);
    assert_eq!(world.ready(PEER), ["a".into()]);
    assert_eq!(world.pods_reach(12, PEER), Effect::Removal);
    assert_eq!(world.ready(PEER), [], "there is no pod b");
    assert_eq!(world.notes(PEER), [""; 0]);
}

#[test]
fn a_pod_that_is_gone_is_not_kept() {
    let mut world = rolled_over(PEER);
    assert_eq!(world.gone_at(9, PEER, Kind::Pod, "a"), Effect::Removal);
    assert_eq!(world.ready(PEER), []);
}

#[test]
fn nothing_is_kept_where_another_pod_is_ready_or_the_slice_names_none() {
    let mut world = rolled_over(PEER);
    world.apply_at(8, PEER, "c", pod("10.0.0.3"));
    let with_c = slice(&[("b", "10.0.0.2", true), ("c", "10.0.0.3", true)]);
    assert_eq!(world.apply_at(13, PEER, "hello-1", with_c), Effect::Removal);
    assert_eq!(world.ready(PEER), ["c".into()]);

    let mut world = rolled_over(PEER);
    let unready = slice(&[("b", "10.0.0.2", false)]);
    assert_eq!(
        world.apply_at(13, PEER, "hello-1", unready),
        Effect::Removal
    );
    assert_eq!(world.ready(PEER), [], "b is known not to be ready");
}

#[test]
fn what_is_kept_is_still_exported_and_let_in() {
    let mut world = rolled_over(PEER);
    world.apply_at(14, PEER, "hello", service(false));
    assert_eq!(world.endpoints(PEER), []);

    let mut world = rolled_over(PEER);
    let fact = NodeFact {
        pod_ranges: vec!["10.0.0.0/30".parse().unwrap()],
        ..NodeFact::default()
    };
    let node = Change::Applied(ObjectKey::new("", "n1"), Fact::Node(fact));
    world.change(OWN, Kind::Node, node);
    assert_eq!(world.ready(PEER), [], "an address of ours");
}

/// What the API server of [`PEER`] did to the pods and the slice of `hello`, in order.
#[derive(Debug, Clone)]
enum Step {
    Pod(usize),
    Slice(Vec<(usize, bool)>),
    PodGone(usize),
}

/// Rollouts as Kubernetes does them: a new pod is there before a slice names it, and an old
/// one until no slice names it any more; one is ready at any time.
fn rollouts(count: usize) -> Vec<Step> {
    let mut steps = vec![Step::Pod(0), Step::Slice(vec![(0, true)])];
    for new in 1..=count {
        let old = new - 1;
        steps.extend([
            Step::Pod(new),
            Step::Slice(vec![(old, true), (new, false)]),
            Step::Slice(vec![(old, true), (new, true)]),
            Step::Slice(vec![(old, false), (new, true)]),
            Step::Slice(vec![(new, true)]),
            Step::PodGone(old),
        ]);
    }
    steps
}

fn told(world: &mut World, at: usize, step: &Step) {
    let name = |n: &usize| format!("p{n}");
    let address = |n: &usize| format!("10.0.0.{n}");
    let revision = Revision::try_from(at + 1).unwrap();
    match step {
        Step::Pod(n) => world.apply_at(revision, PEER, &name(n), pod(&address(n))),
        Step::PodGone(n) => world.gone_at(revision, PEER, Kind::Pod, &name(n)),
        Step::Slice(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(n, ready)| (name(n), address(n), *ready))
                .collect();
            let entries: Vec<_> = entries
                .iter()
                .map(|(n, a, ready)| (&**n, &**a, *ready))
                .collect();
            world.apply_at(revision, PEER, "hello-1", slice(&entries))
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// However far the pods' watch is behind the slices' one, and however often: the last one
    /// ready leaves for another one, or when its pod was seen to be gone.
    #[test]
    fn rollouts_empty_no_service_unseen(
        count in 1..5usize,
        lags in prop::collection::vec(0..12usize, 40),
    ) {
        let steps = rollouts(count);
        let mut world = World::complete();
        world.apply_at(1, PEER, "hello", service(true));
        let (mut known, mut last) = (0, None);
        let mut emptied = 0;
        for (at, step) in steps.iter().enumerate() {
            if matches!(step, Step::Slice(_)) {
                told(&mut world, at, step);
                emptied += is_emptied(&world, &steps[..known], &mut last);
            }
            let behind = at.saturating_sub(lags[at]);
            for (at, step) in steps.iter().enumerate().take(behind + 1).skip(known) {
                if !matches!(step, Step::Slice(_)) {
                    told(&mut world, at, step);
                    emptied += is_emptied(&world, &steps[..=at], &mut last);
                }
            }
            known = known.max(behind + 1);
        }
        prop_assert_eq!(emptied, 0);
        for (at, step) in steps.iter().enumerate().skip(known) {
            if !matches!(step, Step::Slice(_)) {
                told(&mut world, at, step);
            }
        }
        prop_assert_eq!(world.ready(PEER), [format!("p{count}").into()]);
    }
}

/// 1 where nothing is ready though the last that was is not known to be gone.
fn is_emptied(world: &World, known: &[Step], last: &mut Option<Arc<str>>) -> usize {
    let ready = world.ready(PEER);
    let gone = |pod: &Arc<str>| {
        known
            .iter()
            .any(|step| matches!(step, Step::PodGone(n) if **pod == *format!("p{n}")))
    };
    let is_emptied = ready.is_empty() && last.as_ref().is_some_and(|pod| !gone(pod));
    *last = ready.last().cloned().or(last.take());
    usize::from(is_emptied)
}
