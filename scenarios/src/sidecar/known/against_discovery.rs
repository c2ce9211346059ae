//! Our session against discovery's, without sockets: whatever changes and breaks in between,
//! in the end the sidecar knows exactly what discovery has to say to it.

use std::{collections::VecDeque, net::IpAddr};

use discovery::{
    horizon,
    model::{
        Cluster as Member, ClusterId, Endpoint, Export, Locality, Mesh, Service, ServiceKey,
        ServicePort, Shard,
    },
    serve::xds::{
        catalog::{Catalog, Ground},
        delta,
        offer::{Lens, Offer},
        resource::Kind as Theirs,
        viewer::Viewer,
    },
};
use envoy_types::pb::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
};
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::sidecar::session::Session;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// A service has so many endpoints, or is no more.
    Change(u8, Option<u8>),
    /// A request arrives.
    Request,
    /// A response arrives.
    Response,
    /// The stream breaks, and all that was on its way is lost.
    Break,
}

struct Pair {
    mesh: Mesh,
    catalog: Catalog,
    lens: Lens,
    theirs: delta::Session,
    streams: u32,
    ours: Session,
    known: Known,
    requests: VecDeque<DeltaDiscoveryRequest>,
    responses: VecDeque<DeltaDiscoveryResponse>,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_u8, option::of(0..3_u8)).prop_map(|(service, count)| Step::Change(service, count)),
        6 => Just(Step::Request),
        6 => Just(Step::Response),
        1 => Just(Step::Break),
    ]
}

fn ground() -> Ground {
    Ground {
        cluster: "c1".into(),
        network: None,
        domain: "cluster.local".into(),
    }
}

fn viewer() -> Viewer {
    Viewer {
        node: "sidecar~10.0.0.0~p0.sample~sample.svc.cluster.local".into(),
        role: horizon::Role::Sidecar,
        namespace: "sample".into(),
        pod: "p0".into(),
        loopback: [127, 0, 0, 1].into(),
        identity: None,
    }
}

fn member() -> Member {
    Member {
        id: "c1".into(),
        network: None,
        trust_domain: "mesh.example".parse().unwrap(),
        gateways: Default::default(),
        pod_ranges: Vec::new(),
    }
}

fn endpoint(number: u8) -> Arc<Endpoint> {
    Arc::new(Endpoint {
        address: IpAddr::from([10, 0, 0, number]),
        ports: [("http".into(), 5000)].into(),
        pod: format!("p{number}").into(),
        workload: "w".into(),
        canonical_name: "w".into(),
        canonical_revision: "v1".into(),
        identity: format!("spiffe://mesh.example/ns/sample/sa/a{number}")
            .parse()
            .unwrap(),
        network: None,
        locality: Locality::default(),
        mesh_tls: true,
        ready: true,
    })
}

fn service(key: ServiceKey, count: u8) -> Arc<Service> {
    let port = ServicePort {
        number: 80,
        name: "http".into(),
        http: true,
    };
    let shard = Shard {
        export: Export::Closed,
        headless: false,
        ports: vec![port],
        endpoints: (0..count).map(endpoint).collect(),
    };
    Arc::new(Service {
        key,
        shards: [(ClusterId::from("c1"), Arc::new(shard))].into(),
    })
}

impl Pair {
    fn new() -> Self {
        let mesh = Mesh {
            generation: 1,
            clusters: [(ClusterId::from("c1"), Arc::new(member()))].into(),
            ..Mesh::default()
        };
        let catalog = Catalog::new(ground())
            .next(&Arc::new(mesh.clone()))
            .unwrap();
        let mut pair = Self {
            mesh,
            lens: Lens::new(Arc::new(viewer())),
            catalog,
            theirs: delta::Session::new(String::new(), 100, Offer::default()),
            streams: 0,
            ours: Session::new(Node::default()),
            known: Known::default(),
            requests: VecDeque::new(),
            responses: VecDeque::new(),
        };
        pair.begin();
        pair
    }

    /// A new stream.
    fn begin(&mut self) {
        self.streams += 1;
        let offer = self.lens.look(&self.catalog).clone();
        self.theirs = delta::Session::new(self.streams.to_string(), 100, offer);
        self.ours = Session::new(Node::default());
        self.requests.clear();
        self.responses.clear();
        for kind in Kind::ALL {
            self.want(kind);
        }
    }

    fn want(&mut self, kind: Kind) {
        let versions = || self.known.versions(kind);
        let request = self.ours.want(kind, self.known.wanted(kind), versions);
        self.requests.extend(request);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Break => self.begin(),
            Step::Change(number, count) => {
                let key = ServiceKey::new("sample", &format!("s{number}"));
                match count {
                    Some(count) => self.mesh.services.insert(key.clone(), service(key, count)),
                    None => self.mesh.services.remove(&key),
                };
                self.mesh.generation += 1;
                if let Some(next) = self.catalog.next(&Arc::new(self.mesh.clone())) {
                    self.catalog = next;
                }
                self.theirs.tell(self.lens.look(&self.catalog));
            }
            Step::Request => {
                if let Some(request) = self.requests.pop_front() {
                    self.theirs.request(request).unwrap();
                }
            }
            Step::Response => self.respond(),
        }
    }

    fn respond(&mut self) {
        while let Some(response) = self.theirs.respond() {
            self.responses.push_back(response.into());
        }
        let Some(response) = self.responses.pop_front() else {
            return;
        };
        let (answer, update) = self.ours.receive(response).unwrap();
        let kind = update.kind;
        let refused = self.known.apply(update);
        assert_eq!(refused, [] as [String; 0]);
        self.requests.push_back(answer.give(&refused));
        match kind {
            Kind::Cluster => self.want(Kind::Assignment),
            Kind::Listener => self.want(Kind::Route),
            Kind::Assignment | Kind::Route => {}
        }
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            self.step(Step::Request);
            self.step(Step::Response);
        }
        assert!(self.requests.is_empty() && self.responses.is_empty());
    }

    /// By kind: what is known, and what is offered, each with its version.
    fn compare(&mut self) {
        assert!(self.known.is_complete());
        let offer = self.lens.look(&self.catalog).clone();
        let kinds = Kind::ALL.into_iter().zip(Theirs::ALL);
        for (kind, theirs) in kinds {
            assert_eq!(kind.url(), theirs.url());
            let version = |name: &Arc<str>| {
                let resource = offer.get(theirs, name).unwrap();
                (name.to_string(), resource.version())
            };
            let offered: HashMap<_, _> = offer.names(theirs).map(version).collect();
            assert_eq!(self.known.versions(kind), offered, "{kind:?}");
        }
    }
}

proptest! {
    #[test]
    fn in_the_end_the_sidecar_knows_what_discovery_says(steps in vec(steps(), 0..60)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step);
        }
        pair.settle();
        pair.compare();
    }
}
