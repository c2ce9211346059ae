use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName,
    server::Acceptor,
};

use super::*;
use crate::route::balance::Dice;

const LIMIT: usize = 16 * 1024;
const SNI: &str = "outbound_.80_._.helloworld.sample.svc.cluster.local";

/// What a hello says, in memory of its own.
type Said = (Option<String>, Vec<Vec<u8>>);

pub(crate) fn ours(bytes: &[u8]) -> Result<Option<Said>, Refusal> {
    Ok(match read(bytes, &mut Vec::new(), LIMIT)? {
        Progress::More { .. } => None,
        Progress::Whole(hello) => Some((
            hello.sni.map(str::to_owned),
            hello.alpn.iter().map(<[u8]>::to_vec).collect(),
        )),
    })
}

/// What rustls' own acceptor reads; `Err` when it refuses.
fn theirs(mut bytes: &[u8]) -> Result<Option<Said>, rustls::Error> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        acceptor.read_tls(&mut bytes).unwrap();
        match acceptor.accept() {
            Ok(None) => {}
            Err((error, _)) => return Err(error),
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let alpn = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec);
                return Ok(Some((
                    hello.server_name().map(str::to_owned),
                    alpn.collect(),
                )));
            }
        }
    }
    Ok(None)
}

pub(crate) fn rustls_hello(sni: Option<&str>, alpn: &[&[u8]]) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    config.enable_sni = sni.is_some();
    let name = ServerName::try_from(sni.unwrap_or("unnamed").to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// The hellos of rustls clients with many names and protocols.
fn rustls_hellos() -> Vec<(Said, Vec<u8>)> {
    let names = [None, Some("a"), Some("h.example.org"), Some(SNI)];
    let protocols: [&[&[u8]]; 4] = [
        &[],
        &[b"istio"],
        &[b"h2", b"istio-http/1.1", b"istio"],
        &[&[b'x'; 255]],
    ];
    let each = names
        .iter()
        .flat_map(|sni| protocols.map(|alpn| (*sni, alpn)));
    each.map(|(sni, alpn)| {
        let said = (
            sni.map(str::to_owned),
            alpn.iter().map(|p| p.to_vec()).collect(),
        );
        (said, rustls_hello(sni, alpn))
    })
    .collect()
}

/// Puts a handshake message into records whose bodies have these lengths; the last
/// length is used until the end.
pub(crate) fn in_records(message: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), message);
    let mut lengths = lengths.iter();
    let mut length = 1;
    while !rest.is_empty() {
        length = *lengths.next().unwrap_or(&length);
        let (body, after) = rest.split_at(length.min(rest.len()));
        bytes.extend([22, 3, 1]);
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        rest = after;
    }
    bytes
}

/// A ClientHello with these extensions, made by hand.
pub(crate) fn message(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    message_with(&[0, 0, 2, 0x13, 0x01, 1, 0], extensions)
}

/// The same with another session id, cipher suites and compression methods.
fn message_with(middle: &[u8], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend(middle);
    let mut list = Vec::new();
    for (kind, content) in extensions {
        list.extend(kind.to_be_bytes());
        list.extend(length(content.len()));
        list.extend(content);
    }
    body.extend(length(list.len()));
    body.extend(list);
    let mut message = vec![1, 0];
    message.extend(length(body.len()));
    message.extend(body);
    message
}

fn length(of: usize) -> [u8; 2] {
    u16::try_from(of).unwrap().to_be_bytes()
}

pub(crate) fn names(entries: &[(u8, &[u8])]) -> (u16, Vec<u8>) {
    let mut list = Vec::new();
    for (kind, name) in entries {
        list.push(*kind);
        list.extend(length(name.len()));
        list.extend(*name);
    }
    let mut content = length(list.len()).to_vec();
    content.extend(list);
    (0, content)
}

pub(crate) fn alpn(protocols: &[&[u8]]) -> (u16, Vec<u8>) {
    let list: Vec<u8> = protocols
        .iter()
        .flat_map(|p| std::iter::once(u8::try_from(p.len()).unwrap()).chain(p.iter().copied()))
        .collect();
    let mut content = length(list.len()).to_vec();
    content.extend(list);
    (16, content)
}

/// Extensions that rustls wants to see: signature algorithms, and a version.
fn wanted_by_rustls() -> [(u16, Vec<u8>); 2] {
    [(13, vec![0, 2, 4, 3]), (43, vec![2, 3, 4])]
}

/// Every prefix asks for more, and for no more than the whole needs; the verdict is that
/// of the whole from then on.
fn check_every_split(bytes: &[u8]) {
    let whole = ours(bytes);
    let mut joined = Vec::new();
    let (mut decided, mut needed) = (false, 0);
    for end in 0..=bytes.len() {
        match read(&bytes[..end], &mut joined, LIMIT) {
            Ok(Progress::More { at_least }) => {
                assert!(!decided, "a verdict was taken back at {end}");
                assert!(at_least > end, "{at_least} at {end}");
                needed = needed.max(at_least);
            }
            _ => {
                let refused = whole.is_err();
                assert!(decided || refused || needed <= end, "{needed} at {end}");
                decided = true;
                assert_eq!(ours(&bytes[..end]), whole, "at {end}");
            }
        }
    }
    assert_eq!(decided, whole != Ok(None));
}

#[test]
fn rustls_clients_are_read_as_rustls_reads_them() {
    for (said, bytes) in rustls_hellos() {
        assert_eq!(ours(&bytes), Ok(Some(said.clone())));
        assert_eq!(theirs(&bytes).unwrap(), Some(said));
        check_every_split(&bytes);
    }
}

#[test]
fn records_may_cut_the_message_anywhere() {
    let bytes = rustls_hello(Some(SNI), &[b"istio"]);
    let message = &bytes[RECORD_HEADER..];
    let whole = ours(&bytes);
    for cut in 1..message.len() {
        let bytes = in_records(message, &[cut, message.len()]);
        assert_eq!(ours(&bytes), whole, "cut at {cut}");
    }
    for lengths in [&[1][..], &[2], &[3, 1, 5, 64], &[4, 100]] {
        let bytes = in_records(message, lengths);
        assert_eq!(ours(&bytes), whole, "{lengths:?}");
        assert_eq!(theirs(&bytes).unwrap(), whole.clone().unwrap());
        check_every_split(&bytes);
    }
}

#[test]
fn grease_and_order_do_not_matter() {
    let [signatures, versions] = wanted_by_rustls();
    let sni = names(&[(0, SNI.as_bytes())]);
    let grease = |kind| (kind, vec![0]);
    let said = Ok(Some((Some(SNI.to_owned()), vec![b"istio".to_vec()])));
    let protocols = alpn(&[b"istio"]);
    for extensions in [
        vec![
            grease(0x0a0a),
            sni.clone(),
            signatures.clone(),
            protocols.clone(),
        ],
        vec![
            protocols,
            versions,
            grease(0xdada),
            signatures,
            sni,
            grease(0xfafa),
        ],
    ] {
        let bytes = in_records(&message(&extensions), &[MAX_FRAGMENT]);
        assert_eq!(ours(&bytes), said);
        assert_eq!(theirs(&bytes).unwrap(), said.clone().unwrap());
        check_every_split(&bytes);
    }
}

#[test]
fn a_hello_without_names_or_extensions_says_nothing() {
    let none = Ok(Some((None, Vec::new())));
    assert_eq!(ours(&in_records(&message(&[]), &[MAX_FRAGMENT])), none);
    let mut short = message(&[]);
    short.truncate(short.len() - 2);
    short[3] -= 2;
    assert_eq!(ours(&in_records(&short, &[MAX_FRAGMENT])), none);
    let other = names(&[(7, b"not a host")]);
    assert_eq!(ours(&in_records(&message(&[other]), &[MAX_FRAGMENT])), none);
}

#[test]
fn what_is_no_tls_is_known_by_its_first_bytes() {
    assert_eq!(ours(b"G"), Err(Refusal::NotTls));
    assert_eq!(ours(b"GET / HTTP/1.1\r\n\r\n"), Err(Refusal::NotTls));
    assert_eq!(ours(&[22, 2]), Err(Refusal::NotTls));
    // An alert, and SSLv2's hello.
    assert_eq!(ours(&[21, 3, 1, 0, 2, 1, 0]), Err(Refusal::NotTls));
    assert_eq!(ours(&[0x80, 0x2e, 1, 3, 1]), Err(Refusal::NotTls));
}

#[test]
fn a_long_hello_is_refused_by_its_announced_length() {
    let header = [22, 3, 1, 0x40, 0x00, 1, 0, 0x80, 0x00];
    assert_eq!(ours(&header), Err(Refusal::TooLong));
    let padded = |pad: usize| in_records(&message(&[(21, vec![0; pad])]), &[MAX_FRAGMENT]);
    let fits = LIMIT - padded(0).len();
    assert!(ours(&padded(fits)).unwrap().is_some());
    assert_eq!(ours(&padded(fits + 1)), Err(Refusal::TooLong));
    let split = |pad: usize| in_records(&message(&[(21, vec![0; pad])]), &[1000]);
    let fits = fits - (split(fits).len() - padded(fits).len());
    assert_eq!(split(fits).len(), LIMIT);
    assert!(ours(&split(fits)).unwrap().is_some());
    assert_eq!(ours(&split(fits + 1)), Err(Refusal::TooLong));
    // Headers of tiny records count too.
    let tiny = in_records(&message(&[(21, vec![0; 4000])]), &[1]);
    assert!(tiny.len() > LIMIT);
    assert_eq!(ours(&tiny[..LIMIT]), Err(Refusal::TooLong));
    check_every_split(&tiny[..LIMIT]);
}

#[test]
fn no_more_is_asked_for_than_the_limit_allows() {
    let one = rustls_hello(Some(SNI), &[b"istio"]);
    for bytes in [
        &one,
        &in_records(&one[5..], &[1]),
        &in_records(&one[5..], &[60]),
    ] {
        for limit in 0..bytes.len() + 2 {
            let mut asked = 0;
            let verdict = loop {
                let at_hand = &bytes[..asked.min(bytes.len())];
                match read(at_hand, &mut Vec::new(), limit) {
                    Ok(Progress::More { at_least }) => {
                        assert!(at_least <= limit, "{at_least} of {limit}");
                        assert!(at_least > at_hand.len(), "{at_least} at {asked}");
                        asked = at_least;
                    }
                    verdict => break verdict.map(|_| ()),
                }
            };
            let fits = limit >= bytes.len();
            let expected = if fits { Ok(()) } else { Err(Refusal::TooLong) };
            assert_eq!(verdict, expected, "limit {limit} of {}", bytes.len());
        }
    }
    let mut joined = Vec::new();
    let header_fits = read(&[], &mut joined, 5);
    assert!(matches!(header_fits, Ok(Progress::More { at_least: 5 })));
}

#[test]
fn each_broken_rule_is_refused() {
    let wrong = |extensions: &[(u16, Vec<u8>)]| {
        let bytes = in_records(&message(extensions), &[MAX_FRAGMENT]);
        check_every_split(&bytes);
        assert!(
            matches!(ours(&bytes), Err(Refusal::Malformed(_))),
            "{extensions:?}"
        );
    };
    let good = names(&[(0, b"a")]);
    wrong(&[good.clone(), good]);
    wrong(&[names(&[(0, b"a"), (0, b"b")])]);
    wrong(&[names(&[])]);
    wrong(&[names(&[(0, b"")])]);
    wrong(&[names(&[(0, b"a b")])]);
    wrong(&[names(&[(0, b"a\n")])]);
    wrong(&[names(&[(0, &[b'a'; 256])])]);
    wrong(&[(0, vec![0, 9, 0, 0, 1, b'a'])]);
    wrong(&[(0, vec![0, 4, 0, 0, 1, b'a', 0])]);
    wrong(&[alpn(&[])]);
    wrong(&[alpn(&[b""])]);
    wrong(&[(16, vec![0, 3, 2, b'h', b'2', 0])]);
    let long_id = [&[33][..], &[1; 33], &[0, 2, 0x13, 0x01, 1, 0]].concat();
    let no_suites = [0, 0, 0, 1, 0];
    let half_a_suite = [0, 0, 3, 0x13, 0x01, 0x13, 1, 0];
    let no_compression = [0, 0, 2, 0x13, 0x01, 0];
    for middle in [&long_id[..], &no_suites, &half_a_suite, &no_compression] {
        let bytes = in_records(&message_with(middle, &[]), &[MAX_FRAGMENT]);
        let refused = matches!(ours(&bytes), Err(Refusal::Malformed(_)));
        assert!(refused, "{middle:?}");
    }
    // A record of no bytes, and one of another kind within the message.
    assert!(matches!(
        ours(&[22, 3, 1, 0, 0]),
        Err(Refusal::Malformed(_))
    ));
    let mut mixed = in_records(&message(&[]), &[9]);
    mixed[RECORD_HEADER + 9] = 23;
    assert!(matches!(ours(&mixed), Err(Refusal::Malformed(_))));
    // A ServerHello.
    assert!(matches!(
        ours(&[22, 3, 3, 0, 4, 2]),
        Err(Refusal::Malformed(_))
    ));
}

/// Random damage: no panic, whole == split, and never another name than rustls reads.
#[test]
fn damaged_hellos_are_never_read_as_something_else() {
    let hellos = rustls_hellos();
    let mut dice = Dice::new(3);
    let mut roll = |bound: usize| usize::try_from(dice.below(bound as u64).unwrap()).unwrap();
    let mut both = 0;
    for _ in 0..20_000 {
        let (_, bytes) = &hellos[roll(hellos.len())];
        let mut bytes = bytes.clone();
        for _ in 0..=roll(3) {
            let at = roll(bytes.len());
            bytes[at] = u8::try_from(roll(256)).unwrap();
        }
        if let (Ok(Some(ours)), Ok(Some(theirs))) = (ours(&bytes), theirs(&bytes)) {
            both += 1;
            // rustls lower-cases names, takes the last dot away, and passes over what is
            // no DNS name.
            let name = |said: Option<String>| said.map(|name| name.to_ascii_lowercase());
            let (own, other) = (name(ours.0), name(theirs.0));
            let own = own
                .as_deref()
                .map(|name| name.strip_suffix('.').unwrap_or(name));
            assert!(
                own == other.as_deref() || other.is_none(),
                "{own:?} {other:?}"
            );
            assert_eq!(ours.1, theirs.1);
        }
        if roll(50) == 0 {
            check_every_split(&bytes);
        }
    }
    assert!(both > 10_000, "{both}");
}
