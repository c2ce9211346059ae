//! The door through which fuzzers reach what is private: what each of them asserts about
//! values that nobody outside may see. Only under `--cfg fuzzing`.

use std::{net::IpAddr, sync::LazyLock};

use kube::config::Kubeconfig;
use serde_json::Value;

use crate::{
    cluster::read_foreign,
    config::Config,
    snapshot::{SEAL, Snapshot, Terms},
};

/// A foreign kubeconfig: when it is taken, nothing is left in any of its entries that
/// would do more than send a request to one authenticated host.
///
/// # Panics
/// When it is taken and there is.
pub fn kubeconfig(bytes: &[u8]) {
    let Ok(target) = read_foreign(bytes) else {
        return;
    };
    let host = target.server.host().unwrap_or_default();
    let host = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let loopback = host.is_ok_and(|ip| ip.is_loopback());
    let scheme = target.server.scheme_str().unwrap_or_default();
    assert!(
        scheme == "https" || scheme == "http" && loopback,
        "{scheme}"
    );
    let text = std::str::from_utf8(bytes).expect("it was taken");
    let taken = Kubeconfig::from_yaml(text).expect("it was taken");
    for user in taken.auth_infos.iter().filter_map(|u| u.auth_info.as_ref()) {
        let fields = serde_json::to_value(user).expect("JSON");
        only(&fields, &USER, |name| user.other.contains_key(name));
    }
    for cluster in taken.clusters.iter().filter_map(|c| c.cluster.as_ref()) {
        let fields = serde_json::to_value(cluster).expect("JSON");
        only(&fields, &CLUSTER, |name| cluster.other.contains_key(name));
        let proxy = cluster.proxy_url.as_deref().unwrap_or_default();
        assert_eq!(
            (cluster.insecure_skip_tls_verify.unwrap_or_default(), proxy),
            (false, "")
        );
    }
}

/// A snapshot's file: what is read is what would be written.
///
/// # Panics
/// When it is not.
pub fn snapshot(bytes: &[u8]) {
    static TERMS: LazyLock<Terms> = LazyLock::new(|| {
        Terms::of(&serde_yaml_ng::from_str::<Config>(SETTINGS).expect("settings"))
    });
    let terms = &*TERMS;
    // Whatever the bytes say of their own length and sum.
    let _ = Snapshot::decode(bytes, terms);
    // A good sum, so that the content is read.
    let end = bytes
        .iter()
        .position(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    let Ok(snapshot) = Snapshot::decode(&SEAL.close(&bytes[end..]), terms) else {
        return;
    };
    let again = snapshot.encode().expect("bytes");
    assert_eq!(Snapshot::decode(&again, terms), Ok(snapshot));
}

/// All fields are named here, or unknown to the parser and so without effect.
fn only(fields: &Value, named: &[&str], unknown: impl Fn(&str) -> bool) {
    for (name, _) in fields.as_object().into_iter().flatten() {
        assert!(named.contains(&name.as_str()) || unknown(name), "{name}");
    }
}

const USER: [&str; 4] = [
    "token",
    "client-certificate-data",
    "client-key-data",
    "extensions",
];
const CLUSTER: [&str; 7] = [
    "server",
    "certificate-authority-data",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "proxy-url",
    "disable-compression",
    "extensions",
];
/// Those of the snapshot among the seeds.
const SETTINGS: &str = "{ cluster: c0, tls: { directory: /d } }";
