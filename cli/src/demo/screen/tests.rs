use ratatui::{Terminal, backend::TestBackend};
use scenarios::demo::picture::{
    CallsView, ClusterView, GatewayView, PeerView, PodView, ServiceView,
};

use super::*;

fn picture() -> Picture {
    let mut calls = CallsView {
        sent: 300,
        lost: 1,
        last_loss: Some("503: no healthy upstream".to_owned()),
        chain: vec![
            "spiffe://mesh.example/ns/sample/sa/client".to_owned(),
            "signed by O=mesh.example, CN=c1 intermediate".to_owned(),
        ],
        ..CallsView::default()
    };
    calls.last = (0..100)
        .map(|n| if n % 4 == 0 { "v1" } else { "v2" }.to_owned())
        .collect();
    let cluster = |name: &str, network: &str, state: &str| ClusterView {
        name: name.to_owned(),
        network: network.to_owned(),
        services: vec![ServiceView {
            name: "helloworld.sample".to_owned(),
            exported: true,
        }],
        pods: vec![PodView {
            name: "helloworld-v1-6ff68bbf64-29vfz".to_owned(),
            address: "127.1.1.1".to_owned(),
            ready: true,
        }],
        peers: vec![PeerView {
            cluster: "other".to_owned(),
            state: state.to_owned(),
            proof_of_life_age_ms: Some(1234),
            ready_endpoints: 3,
            last_error: None,
        }],
        gateway: GatewayView {
            process: Some(4711),
            ready: true,
            ..GatewayView::default()
        },
        calls: calls.clone(),
    };
    Picture {
        at_ms: 12_345,
        sidecars: "envoy",
        clusters: vec![
            cluster("c1", "network1", "live"),
            cluster("c2", "network2", "stale"),
        ],
        event: Some("gateway killed".to_owned()),
    }
}

fn drawn(width: u16, height: u16) -> String {
    let guide = Guide {
        directory: "/tmp/somewhere".into(),
        kubeconfigs: [("c2".to_owned(), "/tmp/somewhere/c2.yaml".into())].into(),
        gateway: Some(4711),
        looks: Vec::new(),
    };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(frame, &picture(), &guide))
        .unwrap();
    terminal.backend().to_string()
}

fn assert_shown(screen: &str, texts: &[&str]) {
    for shown in texts {
        assert!(screen.contains(shown), "{shown} is missing:\n{screen}");
    }
}

#[test]
fn everything_of_the_moment_is_on_the_screen() {
    let screen = drawn(160, 44);
    assert_shown(
        &screen,
        &[
            "12 s, sidecars: envoy",
            "gateway killed",
            "c1 · network1",
            "c2 · network2",
            "helloworld.sample exported",
            "helloworld-v1-6ff68bbf64-29vfz 127.1.1.1 ready",
            "other live, proof of life 1.2 s ago, 3 ready endpoints",
            "other stale",
            "process 4711",
            "25 % of the last 100",
            "75 % of the last 100",
            "1 lost, the last: 503: no healthy upstream",
            "spiffe://mesh.example/ns/sample/sa/client",
            "signed by c1 intermediate",
            "or: kubectl -n sample scale deployment helloworld-v2 --replicas=3",
            "or: kill -9 4711",
            "kubectl elsewhere: export KUBECONFIG=/tmp/somewhere/c2.yaml",
        ],
    );
    for play in Play::ALL {
        assert_shown(&screen, &[play.title(), play.watch()]);
    }
}

#[test]
fn what_matters_is_on_a_small_screen() {
    let screen = drawn(80, 24);
    assert_shown(
        &screen,
        &[
            "gateway killed",
            "helloworld.sample exported",
            "helloworld-v1 127.1.1.1 ✓",
            "other live, 1.2 s ago, 3",
            "other stale",
            "process 4711",
            " 25 % ",
            "1 lost, the last: 503: …",
            "ple/ns/sample/sa/client",
            "signed by c1 intermediate",
            "kubeconfigs and logs: /tmp/somewhere",
        ],
    );
    for play in Play::ALL {
        assert_shown(&screen, &[play.title()]);
    }
}

#[test]
fn a_tiny_terminal_is_no_error() {
    for (width, height) in [(1, 1), (20, 5), (80, 10), (200, 8)] {
        drawn(width, height);
    }
}

#[test]
fn what_is_cut_shows_it() {
    assert_eq!(fit("häuser", 6), "häuser");
    assert_eq!(fit("häuser", 5), "häus…");
    assert_eq!((fit("a", 0), fit("ab", 1)), (String::new(), "…".to_owned()));
}
