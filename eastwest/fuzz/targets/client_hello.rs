//! The first bytes of a client. A verdict is the same wherever the bytes were cut, and
//! the server behind the gateway reads no other name out of them.
#![no_main]

use eastwest::passthrough::client_hello::{Progress, Refusal, read};
use libfuzzer_sys::fuzz_target;
use rustls::server::Acceptor;

/// What a hello says: name and protocols.
type Said = (Option<String>, Vec<Vec<u8>>);

fuzz_target!(|bytes: &[u8]| {
    for limit in [600, 16 * 1024] {
        let whole = verdict(bytes, limit);
        same_at_every_cut(bytes, limit, &whole);
        if let Ok(Some(ours)) = whole {
            same_as_rustls(bytes, &ours);
        }
    }
});

/// The verdict about a prefix; none yet when more is needed.
fn verdict(prefix: &[u8], limit: usize) -> Result<Option<Said>, Refusal> {
    let mut joined = Vec::new();
    Ok(match read(prefix, &mut joined, limit)? {
        Progress::More { at_least } => {
            assert!(at_least > prefix.len(), "it asks for what it has");
            assert!(at_least <= limit, "it asks for more than it takes");
            None
        }
        Progress::Whole(hello) => {
            let alpn: Vec<Vec<u8>> = hello.alpn.iter().map(<[u8]>::to_vec).collect();
            assert!(alpn.iter().all(|protocol| !protocol.is_empty()));
            Some((hello.sni.map(str::to_owned), alpn))
        }
    })
}

fn same_at_every_cut(bytes: &[u8], limit: usize, whole: &Result<Option<Said>, Refusal>) {
    let mut decided = false;
    for end in (0..bytes.len()).step_by(1 + bytes.len() / 128) {
        match verdict(&bytes[..end], limit) {
            Ok(None) => assert!(!decided, "a verdict was taken back at {end}"),
            early => {
                assert_eq!(early, *whole, "at {end}");
                decided = true;
            }
        }
    }
}

/// rustls refuses more than a gateway has to; what it takes, it reads as we do.
fn same_as_rustls(mut bytes: &[u8], ours: &Said) {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        if acceptor.read_tls(&mut bytes).is_err() {
            return;
        }
        let Ok(accepted) = acceptor.accept() else {
            return;
        };
        if let Some(accepted) = accepted {
            let hello = accepted.client_hello();
            if let Some(name) = hello.server_name() {
                let own = ours.0.as_deref().unwrap_or_default();
                // The last dot says no more than that the name is whole.
                let own = own.strip_suffix('.').unwrap_or(own);
                assert!(own.eq_ignore_ascii_case(name), "{own} and {name}");
            }
            let alpn = hello.alpn().into_iter().flatten();
            assert!(alpn.eq(ours.1.iter().map(Vec::as_slice)));
            return;
        }
    }
}
