//! Streams of a real istiod, replayed: what a gateway makes of each step.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod expected;
mod follower;
mod recording;

use eastwest::sync::session::Kind;

use self::{
    expected::{INITIAL, LISTENERS, STEPS},
    follower::{Follower, Picture, changes},
    recording::{steps, variant},
};

/// A gateway that has heard the first answers.
fn begun() -> Follower {
    let mut follower = Follower::new();
    follower.hear(steps("gateway").remove("00-initial").unwrap());
    follower
}

#[test]
fn every_step_changes_what_its_name_says_and_nothing_else() {
    let mut recorded = steps("gateway");
    let mut follower = Follower::new();
    follower.hear(recorded.remove("00-initial").unwrap());
    assert_eq!(changes(&Picture::new(), &follower.picture()), INITIAL);
    let listeners = follower.resources.listeners().into_iter();
    let listeners: Vec<String> = listeners
        .map(|l| format!("{} {}", l.name, l.address))
        .collect();
    assert_eq!(listeners, LISTENERS);
    assert!(follower.resources.is_complete());
    assert_eq!(follower.resources.quarantined().count(), 0);
    for (step, expected) in STEPS {
        let before = follower.picture();
        follower.hear(recorded.remove(*step).unwrap());
        assert_eq!(changes(&before, &follower.picture()), *expected, "{step}");
    }
    // The rest was recorded after istiod was restarted.
    assert!(
        recorded.keys().all(|step| step.starts_with('4')),
        "{recorded:?}"
    );
}

#[test]
fn an_istiod_that_comes_back_with_the_same_changes_nothing() {
    let mut follower = begun();
    let before = follower.picture();
    follower.begin();
    follower.resources.doubt();
    let mut recorded = steps("gateway");
    follower.hear(recorded.remove("00-initial").unwrap());
    for (_, responses) in recorded
        .into_iter()
        .filter(|(step, _)| step.starts_with('4'))
    {
        follower.hear(responses);
    }
    assert_eq!(changes(&before, &follower.picture()), [""; 0]);
    assert!(!follower.resources.is_remembering());
}

#[test]
fn an_istiod_that_comes_back_empty_is_not_believed_until_it_had_its_time() {
    let mut follower = begun();
    let before = follower.picture();
    follower.begin();
    follower.resources.doubt();
    // Whole answers without anything: what an istiod says that has heard of no cluster yet.
    for kind in [Kind::Cluster, Kind::Listener] {
        follower.take(recording::empty(kind));
    }
    let serves = |picture: &Picture| -> Picture {
        let serving = picture
            .iter()
            .filter(|(_, endpoints)| !endpoints.is_empty());
        serving
            .map(|(name, all)| (name.clone(), all.clone()))
            .collect()
    };
    assert_eq!(follower.picture(), serves(&before));
    assert_eq!(follower.resources.listeners().len(), LISTENERS.len());
    assert!(follower.resources.remembered() > 0);
    assert!(follower.resources.settle());
    assert_eq!(follower.picture(), Picture::new());
    assert!(follower.resources.listeners().is_empty());
}

#[test]
fn what_a_stream_has_confirmed_it_may_take_away_at_once() {
    let mut follower = begun();
    follower.begin();
    follower.resources.doubt();
    let mut recorded = steps("gateway");
    follower.hear(recorded.remove("00-initial").unwrap());
    let before = follower.picture();
    follower.hear(recorded.remove("08-scale-endpoint-to-zero").unwrap());
    let name = "0.0.0.0_15443 outbound_.8000_._.httpbin.demo.svc.cluster.local";
    assert_eq!(
        changes(&before, &follower.picture()),
        [format!("~ {name}: ")]
    );
}

#[test]
fn a_chain_with_access_rules_is_named_and_closed() {
    let mut follower = begun();
    let mut recorded = steps("gateway");
    follower.hear(
        recorded
            .remove("26-authorizationpolicy-on-gateway")
            .unwrap(),
    );
    let quarantined: Vec<_> = follower.resources.quarantined().collect();
    let names: Vec<&str> = quarantined.iter().map(|((_, name), _)| &**name).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"0.0.0.0_15012 *"), "{names:?}");
    let why = &quarantined[0].1;
    assert_eq!(why, "the filter envoy.filters.network.rbac");
}

/// Without NETWORK an istiod sends the gateway to itself (istio-eastwest.md fact 3); the
/// addresses are those of gateways, and never dialled by one that knows its own.
#[test]
fn other_metadata_of_the_node_give_other_endpoints() {
    let endpoints = |file: &str| {
        let mut follower = begun();
        follower.take(variant(file));
        let name = "0.0.0.0_15443 outbound_.80_._.helloworld.demo.svc.cluster.local";
        follower.picture()[name].clone()
    };
    let own = "10.1.0.10:5000, 10.1.0.11:5000";
    let (one, other) = ("127.0.1.1:15443, 127.0.1.1:15443", "127.0.2.1:15443");
    assert_eq!(
        endpoints("gateway-network-unset.00-initial.003.EDS.pb"),
        one
    );
    let both = endpoints("gateway-no-requested-view.00-initial.003.EDS.pb");
    assert!(both.starts_with(own) && both.contains(other), "{both}");
    assert_eq!(
        endpoints("gateway-unknown-pod-labels-fallback.00-initial.003.EDS.pb"),
        own
    );
}

#[test]
fn a_pod_that_istiod_does_not_know_has_no_listener_and_that_is_an_answer() {
    let mut follower = Follower::new();
    let mut first = steps("gateway").remove("00-initial").unwrap().into_iter();
    follower.take(first.next().unwrap());
    follower.take(variant(
        "gateway-unknown-pod-no-labels.00-initial.002.LDS.pb",
    ));
    assert_eq!(follower.picture(), Picture::new());
    assert!(follower.resources.is_complete());
}

#[test]
fn the_other_network_has_its_own_endpoints() {
    let mut follower = Follower::new();
    for kind in ["001.CDS", "002.LDS", "003.EDS"] {
        follower.take(variant(&format!("gateway-network2.00-initial.{kind}.pb")));
    }
    let name = "0.0.0.0_15443 outbound_.80_._.helloworld.demo.svc.cluster.local";
    let endpoints = &follower.picture()[name];
    assert_eq!(endpoints.matches("10.2.0.").count(), 3, "{endpoints}");
}
