use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use super::{balance::Dice, spec::MESH, *};
use crate::{
    config::{Config, Eject, Span},
    metrics::Meter,
    passthrough::{
        client_hello::{ClientHello, Protocols},
        names::Names,
    },
};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 31, 0, 22));
const SNI: &str = "outbound_.80_._.helloworld.sample.svc.cluster.local";

fn names() -> Names {
    Names::of_istiod("istio-system", "cluster.local")
}

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
        endpoints: endpoints.iter().map(|a| endpoint(a)).collect(),
        ..RouteSpec::of(sni.into())
    })
}

fn get<'t>(table: &'t Table, sni: &str) -> Option<&'t Arc<Route>> {
    table.routes().find(|route| *route.spec().sni == *sni)
}

fn hello<'a>(sni: Option<&'a str>, alpn: &'a [u8]) -> ClientHello<'a> {
    ClientHello {
        sni,
        alpn: Protocols(alpn),
    }
}

#[test]
fn a_hello_is_routed_by_name_and_protocol() {
    let table = Table::default().next([spec(SNI, &[])]);
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
        let chosen = choose(&table, MESH, &names(), hello(sni, alpn));
        let chosen = chosen.as_ref().map(|route| &*route.spec().sni);
        assert_eq!(chosen, expected.as_ref().copied(), "{sni:?} {alpn:?}");
    }
}

#[test]
fn an_equal_route_is_kept_and_a_changed_one_keeps_its_loads() {
    let first = Table::default().next([
        spec("a", &["10.0.0.1:1", "10.0.0.2:1"]),
        spec("b", &["10.0.0.3:1"]),
    ]);
    let (_, held) = get(&first, "a")
        .unwrap()
        .hold(&[1], CLIENT, Duration::ZERO, &mut Dice::new(1))
        .unwrap();
    let second = first.next([
        spec("a", &["10.0.0.9:1", "10.0.0.1:1"]),
        spec("b", &["10.0.0.3:1"]),
    ]);
    assert!(Arc::ptr_eq(
        get(&first, "b").unwrap(),
        get(&second, "b").unwrap()
    ));
    let loads = |table: &Table| -> Vec<u32> {
        let route = get(table, "a").unwrap();
        route.endpoints().iter().map(|e| e.load()).collect()
    };
    assert_eq!(loads(&first), [1, 0]);
    assert_eq!(loads(&second), [0, 1]);
    drop(held);
    assert_eq!(loads(&second), [0, 0]);
}

#[test]
fn a_new_workload_at_an_old_address_keeps_the_load_and_counts_anew() {
    let first = Table::default().next([spec("a", &["10.0.0.1:1"])]);
    let (_, held) = get(&first, "a")
        .unwrap()
        .hold(&[], CLIENT, Duration::ZERO, &mut Dice::new(1))
        .unwrap();
    let mut changed = RouteSpec::clone(&spec("a", &["10.0.0.1:1"]));
    changed.endpoints[0].workload = Arc::new(Workload::from_metadata("w;ns;c;r;c1"));
    let second = first.next([Arc::new(changed)]);
    let now = &get(&second, "a").unwrap().endpoints()[0];
    assert_eq!(now.load(), 1);
    let (meter, service) = (meter(), Service::default());
    let before = held.endpoint().series(&service, &meter);
    assert!(!Arc::ptr_eq(now.series(&service, &meter), before));
    assert_eq!(&*now.workload.name, "w");
}

#[test]
fn a_route_that_is_not_named_is_gone() {
    let first = Table::default().next([spec("a", &[]), spec("b", &[])]);
    let second = first.next([spec("b", &[])]);
    assert!(get(&second, "a").is_none());
    assert_eq!((first.len(), second.len()), (2, 1));
}

#[test]
fn unhealthy_and_draining_endpoints_are_not_chosen() {
    let mut spec = RouteSpec::clone(&spec("a", &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]));
    spec.endpoints[0].health = Health::Unhealthy;
    spec.endpoints[2].health = Health::Draining;
    let table = Table::default().next([Arc::new(spec)]);
    let route = get(&table, "a").unwrap();
    let mut dice = Dice::new(2);
    for _ in 0..50 {
        assert_eq!(
            route
                .hold(&[], CLIENT, Duration::ZERO, &mut dice)
                .unwrap()
                .0,
            1
        );
    }
    assert!(
        route
            .hold(&[1], CLIENT, Duration::ZERO, &mut dice)
            .is_none()
    );
}

/// A table whose listener `l` has these routes: name, protocols, and whether it is closed.
fn listener(routes: &[(&str, Option<&[&str]>, bool)]) -> Table {
    let spec = |(sni, alpn, closed): &(&str, Option<&[&str]>, bool)| {
        Arc::new(RouteSpec {
            listener: "l".into(),
            alpn: alpn.map(|all| all.iter().map(|&p| p.into()).collect()),
            closed: *closed,
            ..RouteSpec::of((*sni).into())
        })
    };
    Table::default().next(routes.iter().map(spec))
}

fn chosen(table: &Table, sni: &str, alpn: &[u8]) -> Result<(String, Option<String>), Close> {
    let route = choose(table, "l", &names(), hello(Some(sni), alpn))?;
    let alpn = route.spec().alpn.as_ref().map(|all| all.join(" "));
    Ok((route.spec().sni.to_string(), alpn))
}

#[test]
fn the_most_specific_name_is_chosen_and_there_is_no_way_back() {
    let table = listener(&[
        ("a.b.c", Some(&["istio"]), false),
        ("*.b.c", Some(&["h2"]), false),
        ("*.c", None, false),
        ("*", None, false),
    ]);
    let name = |sni, alpn| chosen(&table, sni, alpn).map(|(name, _)| name);
    assert_eq!(name("a.b.c", b"\x05istio"), Ok("a.b.c".to_owned()));
    assert_eq!(name("a.b.c", b"\x02h2"), Err(Close::NoMeshAlpn));
    assert_eq!(name("x.b.c", b"\x02h2"), Ok("*.b.c".to_owned()));
    assert_eq!(name("x.b.c", b""), Err(Close::NoMeshAlpn));
    assert_eq!(name("x.y.c", b""), Ok("*.c".to_owned()));
    assert_eq!(name(".c", b""), Err(Close::NameNotListed));
    let istiod = "istiod.istio-system.svc";
    assert_eq!(name(istiod, b""), Ok("*".to_owned()));
    assert_eq!(name("elsewhere.example", b""), Err(Close::NameNotListed));
    let other = choose(&table, MESH, &names(), hello(Some("a.b.c"), b"\x05istio"));
    assert_eq!(other.err(), Some(Close::UnknownSni));
}

#[test]
fn of_one_name_the_clients_first_protocol_chooses_and_then_the_one_for_any() {
    let table = listener(&[
        ("a", Some(&["x", "y"]), false),
        ("a", Some(&["z"]), false),
        ("a", None, false),
    ]);
    let alpn = |offered| chosen(&table, "a", offered).unwrap().1;
    assert_eq!(alpn(b"\x01z\x01x"), Some("z".to_owned()));
    assert_eq!(alpn(b"\x01y\x01z"), Some("x y".to_owned()));
    assert_eq!(alpn(b"\x01o"), None);
    assert_eq!(alpn(b""), None);
    assert_eq!(table.len(), 3);
}

#[test]
fn a_closed_route_counts_before_every_other_that_the_client_could_have() {
    let table = listener(&[("a", Some(&["x"]), true), ("a", None, false)]);
    let closed = |offered| {
        let route = choose(&table, "l", &names(), hello(Some("a"), offered)).unwrap();
        route.spec().closed
    };
    assert!(closed(b"\x01x"));
    assert!(closed(b"\x01y\x01x"));
    assert!(!closed(b"\x01y"));
    let table = listener(&[("a", Some(&["x"]), false), ("a", None, true)]);
    let route = choose(&table, "l", &names(), hello(Some("a"), b"\x01x")).unwrap();
    assert!(route.spec().closed);
}

#[test]
fn a_route_by_source_keeps_a_client_at_its_endpoint_while_others_come_and_go() {
    let by_source = |addresses: &[&str]| {
        let spec = RouteSpec {
            by_source: true,
            ..RouteSpec::clone(&spec("a", addresses))
        };
        Table::default().next([Arc::new(spec)])
    };
    let addresses: Vec<String> = (1..=5).map(|i| format!("10.0.0.{i}:1")).collect();
    let all: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let (five, four) = (by_source(&all), by_source(&all[..4]));
    let choice = |table: &Table, client: u32, seed| {
        let route = get(table, "a").unwrap();
        let client = IpAddr::from(Ipv4Addr::from(client));
        let (_, held) = route
            .hold(&[], client, Duration::ZERO, &mut Dice::new(seed))
            .unwrap();
        held.endpoint().address
    };
    let gone = all[4].parse().unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for client in 0..2000 {
        let now = choice(&five, client, 1);
        assert_eq!(now, choice(&five, client, 2));
        if now != gone {
            assert_eq!(now, choice(&four, client, 3));
        }
        *counts.entry(now).or_insert(0) += 1;
    }
    // Four sigma of 2,000 draws with a chance of a fifth.
    assert!(
        counts.len() == 5 && counts.values().all(|n| (328..=472).contains(n)),
        "{counts:?}"
    );
}

#[test]
fn a_route_is_full_with_as_many_connections_as_it_may_have() {
    let spec = RouteSpec {
        max_connections: Some(2),
        ..RouteSpec::clone(&spec("a", &["10.0.0.1:1", "10.0.0.2:1"]))
    };
    let table = Table::default().next([Arc::new(spec)]);
    let route = get(&table, "a").unwrap();
    let mut dice = Dice::new(1);
    let first = route.hold(&[], CLIENT, Duration::ZERO, &mut dice).unwrap();
    assert!(!route.is_full());
    let _second = route.hold(&[], CLIENT, Duration::ZERO, &mut dice).unwrap();
    assert!(route.is_full());
    drop(first);
    assert!(!route.is_full());
}

#[test]
fn an_ejected_endpoint_is_chosen_last_and_stays_ejected_in_the_next_table() {
    let seconds = Duration::from_secs;
    let rule = Eject {
        failures: 1,
        time: Span::seconds(5),
    };
    for by_source in [false, true] {
        let mut of = RouteSpec::clone(&spec("a", &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]));
        of.by_source = by_source;
        let first = Table::default().next([Arc::new(of.clone())]);
        let route = get(&first, "a").unwrap();
        for place in [0, 2] {
            route.endpoints()[place].history().missed(&rule, seconds(1));
        }
        let mut dice = Dice::new(3);
        for _ in 0..50 {
            let (place, _held) = route.hold(&[], CLIENT, seconds(2), &mut dice).unwrap();
            assert_eq!(place, 1);
        }
        let (last, held) = route.hold(&[1], CLIENT, seconds(2), &mut dice).unwrap();
        drop(held);
        assert_ne!(last, 1, "where no other one is left");
        let every = (0..200).map(|_| route.hold(&[], CLIENT, seconds(7), &mut dice).unwrap().0);
        let every: std::collections::BTreeSet<_> = every.collect();
        assert_eq!(
            every.len(),
            if by_source { 1 } else { 3 },
            "for its time only"
        );

        of.max_connections = Some(9);
        let second = first.next([Arc::new(of)]);
        let route = get(&second, "a").unwrap();
        let (place, _held) = route.hold(&[], CLIENT, seconds(2), &mut dice).unwrap();
        assert_eq!(place, 1);
    }
}
