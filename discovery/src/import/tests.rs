use super::*;

fn policy(ranges: &[&str], loopback: bool) -> Policy {
    let own_ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
    let settings = config::Import {
        own_ranges: Some(own_ranges),
        allow_loopback: loopback,
    };
    Policy {
        network: Some("n1".into()),
        ..Policy::of(&settings, None)
    }
}

fn dialled(policy: &Policy, address: &str) -> Result<(), Refused> {
    policy.dialled(address.parse().unwrap())
}

#[test]
fn no_peer_stands_in_our_own_ranges() {
    let policy = policy(&["10.10.0.0/24", "10.10.1.0/24", "fd10::/64"], false);
    for (address, refused) in [
        ("10.10.0.7", true),
        ("10.10.1.255", true),
        ("10.10.2.0", false),
        ("::ffff:10.10.0.7", true),
        ("fd10::7", true),
        ("fd11::7", false),
    ] {
        let expected = if refused {
            Err(Refused::OwnRange)
        } else {
            Ok(())
        };
        assert_eq!(dialled(&policy, address), expected, "{address}");
    }
}

#[test]
fn no_peer_stands_where_no_machine_stands() {
    for address in [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::",
        "0.1.2.3",
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "::ffff:127.0.0.1",
    ] {
        assert_eq!(
            dialled(&policy(&[], false), address),
            Err(Refused::Nowhere),
            "{address}"
        );
    }
    let on_one_machine = policy(&["127.1.0.0/16"], true);
    assert_eq!(dialled(&on_one_machine, "127.2.0.1"), Ok(()));
    assert_eq!(
        dialled(&on_one_machine, "127.1.0.1"),
        Err(Refused::OwnRange)
    );
    assert_eq!(
        dialled(&on_one_machine, "169.254.169.254"),
        Err(Refused::Nowhere)
    );
}

#[test]
fn pods_behind_a_gateway_may_overlap_with_ours() {
    let policy = policy(&["10.10.0.0/24"], false);
    let pod = |network: Option<&str>| {
        let network = network.map(Network::from);
        policy.pod("10.10.0.7".parse().unwrap(), network.as_ref())
    };
    assert_eq!(pod(Some("n2")), Ok(()));
    assert_eq!(pod(Some("n1")), Err(Refused::OwnRange));
    // Reachable from everywhere, so dialled as it is.
    assert_eq!(pod(None), Err(Refused::OwnRange));
}

#[test]
fn the_ranges_are_those_that_were_set_or_else_of_the_nodes() {
    let own = Cluster {
        id: "c1".into(),
        network: Some("n1".into()),
        trust_domain: "cluster.local".parse().unwrap(),
        gateways: [].into(),
        pod_ranges: vec!["10.10.0.0/24".parse().unwrap()],
    };
    let of_nodes = Policy::of(&config::Import::default(), Some(&own));
    assert_eq!(dialled(&of_nodes, "10.10.0.7"), Err(Refused::OwnRange));
    let settings = config::Import {
        own_ranges: Some(Vec::new()),
        allow_loopback: false,
    };
    assert_eq!(
        dialled(&Policy::of(&settings, Some(&own)), "10.10.0.7"),
        Ok(())
    );
}
