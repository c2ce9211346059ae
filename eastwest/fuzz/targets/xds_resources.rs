//! A control plane's responses, one behind another. Whatever was said in between, the
//! routes are those of what stands at the end, and they outlive a restart.
#![no_main]

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use eastwest::{
    route::{RouteSpec, Table},
    sync::{
        decode::{
            Unfit,
            assignment::Assignment,
            chain::Chain,
            cluster::Cluster,
            listener::{Doors, Listener},
        },
        memory::{Edge, Head, Memory},
        message::Response,
        resources::Resources,
        session::{Kind, Session, Update},
    },
};
use eastwest_fuzz::{config, serve};
use envoy_types::pb::envoy::config::core::v3::Node;
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    let mut session = Session::new(Node::default());
    for kind in Kind::ALL {
        let _ = session.everything(kind, []);
    }
    let (mut resources, mut stands) = (Resources::default(), Stands::default());
    let mut table = Table::default();
    let mut rest = bytes;
    while let Ok(response) = Response::decode_length_delimited(&mut rest) {
        let Ok((_, update)) = session.receive(response) else {
            continue;
        };
        stands.take(&update, &resources);
        resources.apply(update.clone());
        let (routes, again) = (sorted(&resources), resources.apply(update));
        assert!(!again.changed, "the same again changes something");
        assert_eq!(routes, sorted(&resources));
        table = table.with(resources.changes());
        stands.forget(&resources);
    }
    let routes = sorted(&resources);
    assert_eq!(routes, sorted(&stands.said_at_once()));
    assert_eq!(
        open(&table),
        open(&Table::default().next(resources.routes()))
    );
    serve(&routes);
    survive_a_restart(routes);
});

/// What was said and not taken back, by kind and name.
#[derive(Default)]
struct Stands(BTreeMap<Kind, BTreeMap<String, Vec<u8>>>);

impl Stands {
    fn take(&mut self, update: &Update, before: &Resources) {
        let of_kind = self.0.entry(update.kind).or_default();
        if update.whole {
            of_kind.retain(|name, _| update.resources.iter().any(|(named, _)| named == name));
        }
        for name in &update.removed {
            of_kind.remove(name);
        }
        let wanted = before.wanted();
        for (name, bytes) in &update.resources {
            let asked = update.kind != Kind::Assignment || wanted.contains(&**name);
            if asked && is_message(update.kind, name, bytes) {
                of_kind.insert(name.clone(), bytes.to_vec());
            }
        }
    }

    /// An assignment goes with the last cluster that has it.
    fn forget(&mut self, now: &Resources) {
        let wanted = now.wanted();
        let assignments = self.0.entry(Kind::Assignment).or_default();
        assignments.retain(|name, _| wanted.contains(&**name));
    }

    fn said_at_once(self) -> Resources {
        let mut resources = Resources::default();
        for (kind, of_kind) in self.0 {
            resources.apply(Update {
                kind,
                resources: of_kind.into_iter().map(|(n, b)| (n, b.into())).collect(),
                removed: Vec::new(),
                whole: kind != Kind::Assignment,
            });
        }
        resources
    }
}

/// Whether it is taken: what is not is refused, and what was before stays.
fn is_message(kind: Kind, name: &str, bytes: &[u8]) -> bool {
    let undecodable = |unfit: Option<Unfit>| matches!(unfit, Some(Unfit::Undecodable(_)));
    !undecodable(match kind {
        // Not looked at before a chain leads to it.
        Kind::Cluster if name.contains('|') => None,
        Kind::Cluster => Cluster::decode(bytes).err(),
        Kind::Listener => match Listener::decode(bytes) {
            Ok(Listener {
                doors: Doors::Chains(chains),
                ..
            }) => chains.iter().find_map(|chain| Chain::decode(chain).err()),
            decoded => decoded.err(),
        },
        Kind::Assignment => Assignment::decode(bytes).err(),
    })
}

fn sorted(resources: &Resources) -> Vec<Arc<RouteSpec>> {
    let mut routes: Vec<Arc<RouteSpec>> = resources.routes().collect();
    routes.sort_by_cached_key(|route| format!("{route:?}"));
    for route in &routes {
        let alpn = route.alpn.as_ref();
        assert!(
            alpn.is_none_or(|alpn| !alpn.is_empty()),
            "a door for nobody"
        );
        assert!(!route.sni.bytes().any(|b| b.is_ascii_uppercase()));
    }
    routes
}

/// The routes by which somebody passes; which of several closed ones is found is of no matter.
fn open(table: &Table) -> BTreeMap<String, RouteSpec> {
    let specs = table.routes().map(|route| route.spec().clone());
    let open = specs.filter(|spec| !spec.closed);
    open.map(|spec| (format!("{:?} {:?}", spec.name(), spec.alpn), spec))
        .collect()
}

fn survive_a_restart(routes: Vec<Arc<RouteSpec>>) {
    let edge = Edge::of(config());
    let seen = UNIX_EPOCH + Duration::from_secs(1);
    let head = Head::new(edge.clone(), seen, Vec::new());
    let memory = Memory::new(head, routes);
    let bytes = memory.clone().encode().expect("bytes");
    assert_eq!(Memory::decode(&bytes, &edge), Ok((memory, 0)));
}
