//! A gateway's view of a control plane, fed by hand.

use std::collections::{BTreeMap, BTreeSet};

use eastwest::{
    route::{Health, RouteSpec, Table},
    sync::{
        message::Response,
        resources::Resources,
        session::{Kind, Session},
    },
};
use envoy_types::pb::envoy::config::core::v3::Node;

/// A session and what came of it.
pub(crate) struct Follower {
    session: Session,
    pub(crate) resources: Resources,
    /// What its connections would be routed by.
    table: Table,
    /// Assignments subscribed.
    pub(crate) asked: BTreeSet<String>,
}

/// The routes: listener and name, with what an operator would want to know.
pub(crate) type Picture = BTreeMap<String, String>;

impl Follower {
    pub(crate) fn new() -> Self {
        let mut follower = Self {
            session: Session::new(Node::default()),
            resources: Resources::default(),
            table: Table::default(),
            asked: BTreeSet::new(),
        };
        follower.begin();
        follower
    }

    /// A new stream.
    pub(crate) fn begin(&mut self) {
        self.session = Session::new(Node::default());
        self.asked.clear();
        for kind in [Kind::Cluster, Kind::Listener] {
            let known = self.resources.names(kind);
            self.session.everything(kind, known).unwrap();
        }
    }

    /// Takes responses in their order.
    pub(crate) fn hear(&mut self, responses: Vec<Response>) {
        for response in responses {
            self.take(response);
        }
    }

    /// Takes a response as the gateway does; it must be one that was asked for, and nothing
    /// in it may be refused.
    pub(crate) fn take(&mut self, response: Response) {
        let (answer, update) = self.session.receive(response).unwrap();
        drop(answer.ack());
        if update.kind == Kind::Assignment {
            let names = update.resources.iter().map(|(name, _)| name);
            for name in names.filter(|name| !self.asked.contains(*name)) {
                // The answer to a question that was just taken back.
                assert!(!self.resources.wanted().contains(&**name), "{name}");
            }
        }
        let applied = self.resources.apply(update);
        assert_eq!(applied.refused, []);
        self.publish();
        for request in self.session.assignments(self.resources.wanted()) {
            self.asked.extend(request.resource_names_subscribe);
            let gone = request.resource_names_unsubscribe;
            self.asked.retain(|name| !gone.contains(name));
        }
    }

    /// Changes the table by what changed: it must be the one that all routes would make.
    fn publish(&mut self) {
        self.table = self.table.with(self.resources.changes());
        let whole = Table::default().next(self.resources.routes());
        let all = |table: &Table| -> BTreeMap<String, RouteSpec> {
            let specs = table.routes().map(|route| route.spec().clone());
            let key = |spec: &RouteSpec| format!("{:?} {:?}", spec.name(), spec.alpn);
            specs.map(|spec| (key(&spec), spec)).collect()
        };
        assert_eq!(all(&self.table), all(&whole));
    }

    pub(crate) fn picture(&self) -> Picture {
        let route = |route: std::sync::Arc<RouteSpec>| {
            let endpoints = route.endpoints.iter().map(|e| {
                let health = match e.health {
                    Health::Healthy => "",
                    Health::Unhealthy => " unhealthy",
                    Health::Draining => " draining",
                };
                format!("{}{health}", e.address)
            });
            let mut endpoints: Vec<String> = endpoints.collect();
            endpoints.sort();
            let closed = if route.closed { "closed " } else { "" };
            let text = format!("{closed}{}", endpoints.join(", "));
            (format!("{} {}", route.listener, route.sni), text)
        };
        self.resources.routes().map(route).collect()
    }
}

/// What changed from one picture to the next: `+ name: endpoints`, `- name`, `~ name: endpoints`.
pub(crate) fn changes(before: &Picture, after: &Picture) -> Vec<String> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let mut changes: Vec<String> = gone.map(|name| format!("- {name}")).collect();
    for (name, now) in after {
        match before.get(name) {
            None => changes.push(format!("+ {name}: {now}")),
            Some(then) if then != now => changes.push(format!("~ {name}: {now}")),
            Some(_) => {}
        }
    }
    changes
}
