use std::{num::NonZeroU32, sync::Arc};

use super::{balance::Dice, *};
use crate::{
    config::Config,
    metrics::Meter,
    passthrough::client_hello::{ClientHello, Protocols},
};

const SNI: &str = "outbound_.80_._.helloworld.sample.svc.cluster.local";

fn meter() -> Meter {
    let text = include_str!("../../examples/eastwest.yaml");
    let config: Config = serde_yaml_ng::from_str(text).unwrap();
    Meter::new(&config.validate().unwrap(), 1)
}

fn endpoint(address: &str) -> EndpointSpec {
    EndpointSpec {
        address: address.parse().unwrap(),
        weight: NonZeroU32::MIN,
        priority: 0,
        health: Health::Healthy,
        workload: Arc::default(),
    }
}

fn spec(sni: &str, endpoints: &[&str]) -> Arc<RouteSpec> {
    Arc::new(RouteSpec {
        sni: sni.into(),
        alpn: spec::mesh_alpn(),
        service: Service::default(),
        connect_timeout: None,
        endpoints: endpoints.iter().map(|a| endpoint(a)).collect(),
    })
}

fn hello<'a>(sni: Option<&'a str>, alpn: &'a [u8]) -> ClientHello<'a> {
    ClientHello {
        sni,
        alpn: Protocols(alpn),
    }
}

#[test]
fn a_hello_is_routed_by_name_and_protocol() {
    let table = Table::default().next([spec(SNI, &[])], &meter());
    let upper = SNI.to_ascii_uppercase();
    for (sni, alpn, expected) in [
        (Some(SNI), &b"\x05istio"[..], Ok(SNI)),
        (Some(&upper), b"\x05istio", Ok(SNI)),
        (Some(SNI), b"\x02h2\x08istio-h2", Ok(SNI)),
        (Some(SNI), b"", Err(Close::NoMeshAlpn)),
        (Some(SNI), b"\x05ISTIO", Err(Close::NoMeshAlpn)),
        (Some(SNI), b"\x06istio2", Err(Close::NoMeshAlpn)),
        (
            Some("sample.svc.cluster.local"),
            b"\x05istio",
            Err(Close::UnknownSni),
        ),
        (None, b"\x05istio", Err(Close::NoSni)),
    ] {
        let chosen = choose(&table, hello(sni, alpn));
        let chosen = chosen.as_ref().map(|route| &*route.spec().sni);
        assert_eq!(chosen, expected.as_ref().copied(), "{sni:?} {alpn:?}");
    }
}

#[test]
fn an_equal_route_is_kept_and_a_changed_one_keeps_its_loads() {
    let meter = meter();
    let first = Table::default().next(
        [
            spec("a", &["10.0.0.1:1", "10.0.0.2:1"]),
            spec("b", &["10.0.0.3:1"]),
        ],
        &meter,
    );
    let (_, held) = first
        .get("a")
        .unwrap()
        .hold(&[1], &mut Dice::new(1))
        .unwrap();
    let second = first.next(
        [
            spec("a", &["10.0.0.9:1", "10.0.0.1:1"]),
            spec("b", &["10.0.0.3:1"]),
        ],
        &meter,
    );
    assert!(Arc::ptr_eq(
        first.get("b").unwrap(),
        second.get("b").unwrap()
    ));
    let loads = |table: &Table| -> Vec<u32> {
        let route = table.get("a").unwrap();
        route.endpoints().iter().map(|e| e.load()).collect()
    };
    assert_eq!(loads(&first), [1, 0]);
    assert_eq!(loads(&second), [0, 1]);
    drop(held);
    assert_eq!(loads(&second), [0, 0]);
}

#[test]
fn a_new_workload_at_an_old_address_keeps_the_load_and_counts_anew() {
    let meter = meter();
    let first = Table::default().next([spec("a", &["10.0.0.1:1"])], &meter);
    let (_, held) = first
        .get("a")
        .unwrap()
        .hold(&[], &mut Dice::new(1))
        .unwrap();
    let mut changed = RouteSpec::clone(&spec("a", &["10.0.0.1:1"]));
    changed.endpoints[0].workload = Arc::new(Workload::from_metadata("w;ns;c;r;c1"));
    let second = first.next([Arc::new(changed)], &meter);
    let now = &second.get("a").unwrap().endpoints()[0];
    assert_eq!(now.load(), 1);
    assert!(!Arc::ptr_eq(&now.series, &held.endpoint().series));
    assert_eq!(&*now.workload.name, "w");
}

#[test]
fn a_route_that_is_not_named_is_gone() {
    let meter = meter();
    let first = Table::default().next([spec("a", &[]), spec("b", &[])], &meter);
    let second = first.next([spec("b", &[])], &meter);
    assert!(second.get("a").is_none());
    assert_eq!((first.len(), second.len()), (2, 1));
}

#[test]
fn unhealthy_and_draining_endpoints_are_not_chosen() {
    let mut spec = RouteSpec::clone(&spec("a", &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]));
    spec.endpoints[0].health = Health::Unhealthy;
    spec.endpoints[2].health = Health::Draining;
    let table = Table::default().next([Arc::new(spec)], &meter());
    let route = table.get("a").unwrap();
    let mut dice = Dice::new(2);
    for _ in 0..50 {
        assert_eq!(route.hold(&[], &mut dice).unwrap().0, 1);
    }
    assert!(route.hold(&[1], &mut dice).is_none());
}
