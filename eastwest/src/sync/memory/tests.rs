use super::*;
use crate::sync::static_routes::parse;

fn edge() -> Edge {
    Edge {
        cluster: "c1".to_owned(),
        network: "network1".to_owned(),
    }
}

fn head() -> Head {
    let listener = ListenerSpec {
        name: "0.0.0.0_15012".into(),
        address: "0.0.0.0:15012".parse().unwrap(),
    };
    Head::new(
        edge(),
        UNIX_EPOCH + Duration::from_millis(5),
        vec![listener],
    )
}

fn memory() -> Memory {
    let text = "routes:
- { sni: b, alpn: [istio], connectTimeout: 2s, service: { host: b.x, name: b, namespace: x },
endpoints: [ { address: '10.0.0.1:80', weight: 2, priority: 1, health: draining,
               workload: { name: w, namespace: x, canonicalName: c,
                           canonicalRevision: v1, cluster: c1 } } ] }
- { sni: a, alpn: [istio] }
- { listener: 0.0.0.0_15012, sni: '*', alpn: null, closed: true, idleTimeout: 1m, maxDuration: 1h,
maxConnections: 100, bySource: true }";
    Memory::new(head(), parse(text).unwrap())
}

#[test]
fn what_is_read_is_what_was_written_in_a_form_of_its_version() {
    let bytes = memory().encode().unwrap();
    assert_eq!(Memory::decode(&bytes, &edge()), Ok((memory(), 0)));
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text, include_str!("version_3"));
}

#[test]
fn what_was_written_and_then_changed_is_what_was_written_last() {
    let first = Table::default().next(memory().routes);
    let (a, b) = (
        first.named(&memory().routes[1].name())[0].shared_spec(),
        memory().routes[2].name(),
    );
    let changed = RouteSpec {
        max_connections: Some(7),
        ..RouteSpec::clone(&a)
    };
    let any = RouteSpec {
        alpn: None,
        ..RouteSpec::clone(&a)
    };
    let (changed, any) = (Arc::new(changed), Arc::new(any));
    let second = first.with([
        (a.name(), vec![Arc::clone(&changed), Arc::clone(&any)]),
        (b, Vec::new()),
    ]);
    let later = Head::new(edge(), UNIX_EPOCH + Duration::from_secs(1), Vec::new());
    let whole: Vec<_> = memory().into_lines().collect();
    let change: Vec<_> = changes(later.clone(), &second, &first).collect();
    assert_eq!(change.len(), 5, "a head, two names and two routes");
    let bytes = journal::encode(SEAL, [whole, change]).unwrap();
    let routes = vec![Arc::clone(&memory().routes[0]), changed, any];
    let expected = Memory::new(later, routes);
    assert_eq!(Memory::decode(&bytes, &edge()), Ok((expected, 0)));
    // A change of which the last byte is missing is none.
    let (read, unused) = Memory::decode(&bytes[..bytes.len() - 1], &edge()).unwrap();
    assert_eq!(read, memory());
    assert!(unused > 0);
}

#[test]
fn what_was_changed_or_written_elsewhere_is_none() {
    let mut bytes = memory().encode().unwrap();
    let elsewhere = Edge {
        cluster: "c2".to_owned(),
        ..edge()
    };
    assert_eq!(Memory::decode(&bytes, &elsewhere), Err(Flaw::Edge));
    bytes.pop();
    let read = Memory::decode(&bytes, &edge());
    assert_eq!(read, Err(Flaw::Broken(Broken::Checksum)));
    for lines in [vec![], vec![b"{}".to_vec()]] {
        let lines = lines.into_iter().map(Ok);
        let other = journal::encode(SEAL, [lines]).unwrap();
        let read = Memory::decode(&other, &edge());
        assert!(matches!(read, Err(Flaw::Content(_))), "{read:?}");
    }
}
