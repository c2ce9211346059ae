use super::*;

const LIMIT: Duration = Duration::from_secs(6);

fn good(uid: &str) -> Beat {
    Beat::Good(uid.into())
}

/// A cluster whose facts are complete at the moment that is returned.
fn complete() -> (State, Instant) {
    let now = Instant::now();
    let mut state = State::new(LIMIT);
    assert!(state.beat(now, good("u")));
    for kind in Kind::ALL {
        assert_eq!(state.phase(now, Some(now)), Phase::Connecting);
        state.listed(kind);
    }
    assert_eq!(state.phase(now, Some(now)), Phase::Live);
    (state, now)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn without_proof_of_life_it_goes_stale_and_comes_back() {
    let (mut state, start) = complete();
    let just_before = start + LIMIT - Duration::from_millis(1);
    assert_eq!(state.phase(just_before, Some(start)), Phase::Live);
    assert_eq!(state.phase(start + LIMIT, Some(start)), Phase::Stale);
    assert!(!state.beat(start + LIMIT, Beat::Missed("timeout".into())));
    assert_eq!(state.last_error(), Some((start + LIMIT, "timeout")));
    let later = start + seconds(20);
    assert!(state.beat(later, good("u")), "contact made again");
    assert!(!state.beat(later, good("u")), "said once");
    assert_eq!(state.phase(later, Some(later)), Phase::Live);
}

#[test]
fn a_refused_credential_makes_stale_though_frames_still_arrive() {
    let (mut state, start) = complete();
    for second in [0, 2, 4] {
        state.beat(start + seconds(second), Beat::Refused("401".into()));
    }
    let frame = start + seconds(5);
    assert_eq!(state.phase(frame, Some(frame)), Phase::Live);
    let frame = start + LIMIT;
    assert_eq!(state.phase(frame, Some(frame)), Phase::Stale);
    assert!(state.beat(frame, good("u")));
    assert_eq!(state.phase(frame, Some(frame)), Phase::Live);
}

#[test]
fn a_required_kind_that_is_cut_off_makes_stale_an_optional_one_does_not() {
    let (mut state, start) = complete();
    state.failing(start, Kind::Node, "403".into());
    state.failing(start, Kind::Pod, "500".into());
    state.failing(start + seconds(3), Kind::Pod, "500".into());
    let then = start + LIMIT;
    assert_eq!(state.phase(then, Some(then)), Phase::Stale);
    state.following(Kind::Pod);
    assert_eq!(state.phase(then, Some(then)), Phase::Live);
}

#[test]
fn an_absent_optional_kind_is_done_without() {
    let now = Instant::now();
    let mut state = State::new(LIMIT);
    state.beat(now, good("u"));
    for kind in Kind::ALL {
        match kind.is_optional() {
            true => state.absent(kind, "404".into()),
            false => state.listed(kind),
        }
    }
    assert_eq!(state.phase(now, Some(now)), Phase::Live);
}

#[test]
fn a_denied_kind_is_done_without_when_that_lasts() {
    let now = Instant::now();
    let mut state = State::new(LIMIT);
    assert!(!state.denied(now, Kind::MeshConfig, "403".into()));
    assert!(!state.denied(now + seconds(5), Kind::MeshConfig, "403".into()));
    assert!(state.denied(now + LIMIT, Kind::MeshConfig, "403".into()));
    assert!(state.denied(now + LIMIT, Kind::MeshConfig, "403".into()));
    state.listed(Kind::MeshConfig);
    assert!(!state.denied(now + seconds(7), Kind::MeshConfig, "403".into()));
}

#[test]
fn following_does_not_stand_for_listed() {
    let now = Instant::now();
    let mut state = State::new(LIMIT);
    for kind in Kind::ALL {
        state.following(kind);
    }
    assert_eq!(state.phase(now, Some(now)), Phase::Connecting);
}

#[test]
fn another_cluster_is_marked_until_the_known_one_is_back() {
    let (mut state, now) = complete();
    assert!(!state.beat(now, good("other")));
    assert!(!state.is_known_cluster());
    assert_eq!(state.phase(now, Some(now)), Phase::Stale);
    assert!(state.last_error().unwrap().1.contains("other"));
    assert_eq!(state.uid().map(|u| &**u), Some("u"));
    assert!(state.beat(now, good("u")), "contact made again");
    assert_eq!(state.phase(now, Some(now)), Phase::Live);
}

#[test]
fn why_it_is_refused_is_not_hidden_by_what_follows_from_it() {
    let (mut state, now) = complete();
    state.beat(now, Beat::Refused("401; put a token in".into()));
    state.failing(now, Kind::Pod, "401".into());
    assert_eq!(state.last_error(), Some((now, "401; put a token in")));
    state.beat(now, good("u"));
    state.failing(now, Kind::Pod, "500".into());
    assert_eq!(state.last_error(), Some((now, "pods: 500")));
}

#[test]
fn a_way_that_is_not_gone_is_said_until_it_is() {
    let (mut state, now) = complete();
    state.failing(now, Kind::Pod, "500".into());
    state.detour(now, Some("leads elsewhere".into()));
    state.failing(now, Kind::Node, "500".into());
    assert_eq!(state.last_error(), Some((now, "leads elsewhere")));
    assert_eq!(
        state.phase(now, Some(now)),
        Phase::Live,
        "it lives as before"
    );
    state.detour(now, None);
    assert_eq!(state.last_error(), Some((now, "nodes: 500")));
}
