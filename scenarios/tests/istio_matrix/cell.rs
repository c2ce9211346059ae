//! What is asked: names, protocols, and ways to send them.

use scenarios::topology::MESH_PORT;

use super::{
    client_hello::Cut,
    mesh::{ISTIOD, SERVICES, WILD, WILD_PORT},
};

/// A server name, and where it is asked for.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) service: &'static str,
    pub(super) form: &'static str,
    pub(super) port: u16,
    pub(super) sni: Option<String>,
}

/// One question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<'a> {
    pub(super) name: &'a Name,
    pub(super) alpn: Option<&'static str>,
    pub(super) cut: Cut,
}

/// Every name.
pub(super) fn names() -> Vec<Name> {
    let of_services = SERVICES.into_iter().flat_map(names_of);
    let others = OTHERS.iter().map(|(service, form, port, sni)| Name {
        service,
        form,
        port: *port,
        sni: sni.map(str::to_owned),
    });
    of_services.chain(others).collect()
}

/// The names by which a service could be asked for.
fn names_of(service: &'static str) -> [Name; 6] {
    let exact = mesh_name(service, "");
    [
        ("exported", MESH_PORT, exact.clone()),
        ("subset", MESH_PORT, mesh_name(service, "v1")),
        ("no such subset", MESH_PORT, mesh_name(service, "v2")),
        ("upper case", MESH_PORT, exact.to_uppercase()),
        ("trailing dot", MESH_PORT, format!("{exact}.")),
        ("under a wildcard", WILD_PORT, format!("a.{service}.{WILD}")),
    ]
    .map(|(form, port, sni)| Name {
        service,
        form,
        port,
        sni: Some(sni),
    })
}

/// Every name with every protocol, sent in every way.
pub(super) fn cells(names: &[Name]) -> Vec<Cell<'_>> {
    let of = |name| {
        let ways = ALPN
            .iter()
            .flat_map(|alpn| Cut::ALL.map(|cut| (*alpn, cut)));
        ways.map(move |(alpn, cut)| Cell { name, alpn, cut })
    };
    names.iter().flat_map(of).collect()
}

/// Istio's name for a service or its subset between networks.
pub(crate) fn mesh_name(service: &str, subset: &str) -> String {
    format!("outbound_.80_.{subset}_.{service}.sample.svc.cluster.local")
}

const ALPN: [Option<&str>; 7] = [
    None,
    Some("h2"),
    Some("istio"),
    Some("istio-h2"),
    Some("istio-http/1.1"),
    Some("istio-peer-exchange"),
    Some("ISTIO"),
];

/// Names of no service in the mesh: what they lead to, their form, the port, the name.
const OTHERS: [(&str, &str, u16, Option<&str>); 12] = [
    (
        ISTIOD,
        "under a wildcard",
        WILD_PORT,
        Some("a.istiod.wild.example"),
    ),
    (
        ISTIOD,
        "upper case",
        WILD_PORT,
        Some("A.B.ISTIOD.WILD.EXAMPLE"),
    ),
    (ISTIOD, "wildcard", WILD_PORT, Some("*.istiod.wild.example")),
    (
        "-",
        "trailing dot",
        WILD_PORT,
        Some("a.istiod.wild.example."),
    ),
    (
        "-",
        "a wildcard's domain",
        WILD_PORT,
        Some("istiod.wild.example"),
    ),
    (
        "-",
        "that with a dot",
        WILD_PORT,
        Some(".istiod.wild.example"),
    ),
    (
        "-",
        "wildcard",
        MESH_PORT,
        Some("*.sample.svc.cluster.local"),
    ),
    (
        "-",
        "plain host name",
        MESH_PORT,
        Some("serving.sample.svc.cluster.local"),
    ),
    (
        "-",
        "unknown",
        MESH_PORT,
        Some("outbound_.80_._.nobody.sample.svc.cluster.local"),
    ),
    ("-", "unknown", WILD_PORT, Some("a.nobody.wild.example")),
    ("-", "none", MESH_PORT, None),
    ("-", "none", WILD_PORT, None),
];
