use ratatui::{Terminal, backend::TestBackend};
use scenarios::demo::picture::{GatewayView, PodView, ServiceView};

use super::*;

fn picture() -> Picture {
    let mut calls = CallsView {
        sent: 300,
        lost: 1,
        last_loss: Some("503: no healthy upstream".to_owned()),
        chain: vec![
            "spiffe://mesh.example/ns/sample/sa/client".to_owned(),
            "c1 intermediate".to_owned(),
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
            name: "helloworld-v1-0".to_owned(),
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
        plays: Play::ALL
            .map(|play| (play, Some(format!("command of {play:?}"))))
            .into(),
        directory: "/tmp/somewhere".to_owned(),
        kubeconfigs: BTreeMap::new(),
    };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(frame, &picture(), &guide))
        .unwrap();
    terminal.backend().to_string()
}

#[test]
fn everything_of_the_moment_is_on_the_screen() {
    let screen = drawn(160, 44);
    for shown in [
        "12 s",
        "gateway killed",
        "c1 · network1",
        "c2 · network2",
        "helloworld.sample exported",
        "helloworld-v1-0 127.1.1.1 ready",
        "other live, proof of life 1.2 s ago, 3 ready endpoints",
        "other stale",
        "process 4711",
        "25 % of the last 100",
        "75 % of the last 100",
        "1 lost",
        "no healthy upstream",
        "spiffe://mesh.example/ns/sample/sa/client",
        "c1 intermediate",
        "/tmp/somewhere",
    ] {
        assert!(screen.contains(shown), "{shown} is missing:\n{screen}");
    }
    for play in Play::ALL {
        assert!(screen.contains(play.title()), "{screen}");
        assert!(screen.contains(&format!("command of {play:?}")), "{screen}");
    }
}

#[test]
fn a_small_terminal_is_no_error() {
    for (width, height) in [(1, 1), (20, 5), (80, 24)] {
        drawn(width, height);
    }
}
