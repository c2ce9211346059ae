use super::*;

const EXAMPLE: &str = include_str!("../../examples/discovery.yaml");

fn problems(yaml: &str) -> Vec<String> {
    match serde_yaml_ng::from_str::<Config>(yaml).unwrap().validate() {
        Err(problems) => problems.into_iter().map(|p| p.path).collect(),
        other => panic!("expected problems, got {other:?}"),
    }
}

#[test]
fn the_example_holds_and_says_the_defaults() {
    let example = serde_yaml_ng::from_str::<Config>(EXAMPLE)
        .unwrap()
        .validate()
        .unwrap();
    assert_eq!(example.cluster.as_str(), "c1");
    assert_eq!(example.exports, Exports::Marked);
    assert_eq!(example.heartbeat.stale_after, Duration::from_secs(6));
    assert_eq!(example.push.quiet, Duration::from_millis(100));
    let least = serde_yaml_ng::from_str::<Config>("cluster: c1\ntls: { directory: /d }").unwrap();
    let least = least.validate().unwrap();
    assert_eq!(
        format!("{:?}", least.heartbeat),
        format!("{:?}", example.heartbeat)
    );
    assert_eq!(format!("{:?}", least.push), format!("{:?}", example.push));
    assert!(least.state.is_none(), "off unless it is set");
    assert_eq!(example.state.as_ref().unwrap().every, second());
    assert_eq!(least.trust_domain, example.trust_domain);
    assert_eq!(least.listen.xds, example.listen.xds);
    assert_eq!(least.listen.debug, example.listen.debug);
}

#[test]
fn all_problems_are_listed_with_their_paths() {
    let found = problems(
        "cluster: ''
systemNamespace: Istio
clusterDomain: cluster.local.
listen: { xdsPlainText: '0.0.0.0:1' }
gateways: [ { namespace: a, serviceAccount: '' } ]
heartbeat: { interval: 6s, staleAfter: 6s }
push: { quiet: 2s, gap: 3s }
state: { directory: here, every: 0s }
",
    );
    assert_eq!(
        found,
        [
            "cluster",
            "systemNamespace",
            "clusterDomain",
            "gateways[0].serviceAccount",
            "tls",
            "listen.xdsPlainText",
            "heartbeat.staleAfter",
            "push.quiet",
            "push.gap",
            "state.directory",
            "state.every",
        ]
    );
}

#[test]
fn an_unknown_field_and_a_bad_duration_are_named() {
    let error = |yaml: &str| {
        serde_yaml_ng::from_str::<Config>(yaml)
            .unwrap_err()
            .to_string()
    };
    assert!(error("cluster: c1\nexport: all").contains("export"));
    assert!(error("cluster: c1\npush: { quiet: soon }").contains("soon"));
}
