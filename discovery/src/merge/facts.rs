//! What is known of one cluster, indexed so that a change finds what it touches. Pure.
//!
//! Two steps: [`Facts::take`] stores a fact and marks what it touches; [`Facts::settle`]
//! rebuilds the marked slices and names the services to put together anew.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use ipnet::IpNet;
use trust::identity::TrustDomain;

use super::{
    Rules,
    shard::{Built, Ignored, Surroundings, gather},
    slices::{Slices, service_of},
};
use crate::{
    export,
    import::Policy,
    model::{Cluster, ClusterId, Endpoint, Export, Gateway, Network, ServiceKey, Shard},
    remote::{
        project::{Fact, GatewayFact, Kind, NodeFact, ObjectKey, PodFact, ServiceFact, SliceFact},
        watch::{Change, Revision},
    },
};

/// One cluster's facts.
#[derive(Debug)]
pub(crate) struct Facts {
    id: ClusterId,
    services: HashMap<ServiceKey, ServiceFact>,
    slices: Slices,
    pods: HashMap<ObjectKey, PodFact>,
    nodes: HashMap<ObjectKey, NodeFact>,
    namespaces: HashMap<ObjectKey, Option<Network>>,
    mesh_configs: HashMap<ObjectKey, String>,
    exports: HashSet<ServiceKey>,
    /// Services that are gateways.
    gateways: BTreeSet<ServiceKey>,
    /// How far the pods' watch has come.
    pods_at: Revision,
    /// Services that keep endpoints until pods named in their place are known.
    keeping: BTreeSet<ServiceKey>,
    settled: BTreeSet<Kind>,
    complete: bool,
    touched: Touched,
}

/// What is to be looked at again.
#[derive(Debug, Default)]
struct Touched {
    slices: HashSet<ObjectKey>,
    services: BTreeSet<ServiceKey>,
    nodes: HashSet<Arc<str>>,
    /// What belongs to the cluster as a whole.
    cluster: bool,
    everything: bool,
}

/// What may be another one now.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// What belongs to the cluster as a whole.
    pub(crate) cluster: bool,
    /// Shards of these services.
    pub(crate) services: BTreeSet<ServiceKey>,
}

impl Facts {
    pub(crate) fn new(id: ClusterId) -> Self {
        Self {
            id,
            services: HashMap::new(),
            slices: Slices::default(),
            pods: HashMap::new(),
            nodes: HashMap::new(),
            namespaces: HashMap::new(),
            mesh_configs: HashMap::new(),
            exports: HashSet::new(),
            gateways: BTreeSet::new(),
            pods_at: 0,
            keeping: BTreeSet::new(),
            settled: BTreeSet::new(),
            complete: false,
            touched: Touched::default(),
        }
    }

    /// Takes a change in, which its API server made at that revision.
    pub(crate) fn take(&mut self, kind: Kind, change: Change<Fact>, at: Revision) {
        match change {
            Change::Listed(listed) => {
                let mut before = self.keys(kind);
                for (key, fact) in listed {
                    before.remove(&key);
                    self.put(key, fact, at);
                }
                for key in before {
                    self.remove(kind, &key);
                }
                self.settled(kind);
            }
            Change::Applied(key, fact) => self.put(key, fact, at),
            Change::Gone(key) => self.remove(kind, &key),
        }
        self.reached(kind, at);
    }

    /// All that happened to a kind up to that revision is known.
    pub(crate) fn reached(&mut self, kind: Kind, at: Revision) {
        if kind == Kind::Pod {
            self.pods_at = at;
            self.touched.services.extend(self.keeping.iter().cloned());
        }
    }

    /// All that can be known of a kind is known.
    pub(crate) fn settled(&mut self, kind: Kind) {
        self.settled.insert(kind);
        if !self.complete && self.settled.len() == Kind::ALL.len() {
            self.complete = true;
            self.touched.everything = true;
        }
    }

    /// All has to be looked at again.
    pub(crate) fn touch_everything(&mut self) {
        self.touched.everything = true;
    }

    /// Whether all kinds were known once.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Rebuilds what was touched; nothing before the facts are complete.
    pub(crate) fn settle(&mut self, rules: &Rules, import: &Policy) -> Settled {
        if !self.complete {
            return Settled::default();
        }
        let touched = std::mem::take(&mut self.touched);
        let mut slices = touched.slices;
        let mut services = touched.services;
        if touched.everything {
            slices.extend(self.slices.keys());
            services.extend(self.services.keys().cloned());
        } else if !touched.nodes.is_empty() {
            slices.extend(self.slices_on(&touched.nodes));
        }
        for key in &slices {
            services.extend(self.rebuild(key, rules, import));
        }
        Settled {
            cluster: touched.cluster || touched.everything || !touched.nodes.is_empty(),
            services,
        }
    }

    /// What this cluster contributes to a service; `None` when it has no such Service.
    pub(crate) fn shard(
        &mut self,
        key: &ServiceKey,
        rules: &Rules,
        import: &Policy,
        old: Option<&Shard>,
    ) -> Option<Shard> {
        let old: &[Arc<Endpoint>] = old.map_or(&[], |old| &old.endpoints);
        let kept = self.kept(key, rules, import, old);
        match kept.is_empty() {
            true => self.keeping.remove(key),
            false => self.keeping.insert(key.clone()),
        };
        let service = self.services.get(key)?;
        let endpoints = self.slices.endpoints(key).chain(kept);
        Some(Shard {
            export: self.export(key, service, rules),
            headless: service.headless,
            ports: service.ports.clone(),
            endpoints: gather(endpoints, old),
        })
    }

    /// Endpoints that a service had, kept although its slices name others now: where no other
    /// would be ready, and of those named the pods are not known yet, because their watch is
    /// behind the slices' one. That a pod is not known does not mean that it is not there.
    fn kept<'a>(
        &self,
        key: &ServiceKey,
        rules: &Rules,
        import: &Policy,
        old: &'a [Arc<Endpoint>],
    ) -> Vec<&'a Arc<Endpoint>> {
        let is_empty = !self.slices.endpoints(key).any(|endpoint| endpoint.ready);
        let is_open = is_empty && self.slices.awaits_pods(key, self.pods_at);
        let is_let_in = |endpoint: &Endpoint| {
            let network = endpoint.network.as_ref();
            self.id == rules.own || import.pod(endpoint.address, network).is_ok()
        };
        let old = old.iter().filter(|endpoint| is_open && endpoint.ready);
        old.filter(|endpoint| {
            let pod = self
                .pods
                .get(&ObjectKey::new(&key.namespace, &endpoint.pod));
            pod.is_some_and(|pod| pod.addresses.contains(&endpoint.address)) && is_let_in(endpoint)
        })
        .collect()
    }

    /// What belongs to the cluster as a whole.
    pub(crate) fn cluster(&self, rules: &Rules, import: &Policy) -> Cluster {
        let foreign = self.id != rules.own;
        let is_let_in = |gateway: &Gateway| !foreign || import.dialled(gateway.address).is_ok();
        let gateways = self.gateways().flat_map(|(_, gateway)| addresses(gateway));
        let nodes = self.nodes.values();
        let ranges: BTreeSet<IpNet> = nodes.flat_map(|node| &node.pod_ranges).copied().collect();
        Cluster {
            id: self.id.clone(),
            network: self.network(rules).cloned(),
            trust_domain: self.trust_domain(rules),
            gateways: gateways.filter(is_let_in).collect(),
            pod_ranges: ranges.into_iter().collect(),
        }
    }

    /// The gateway Services.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = (&ServiceKey, &GatewayFact)> {
        let gateways = self.gateways.iter();
        gateways.filter_map(|key| Some((key, self.services.get(key)?.gateway.as_ref()?)))
    }

    /// What an operator should know of its services and gateways.
    pub(crate) fn notes(&self) -> Vec<String> {
        let kept = self.keeping.iter().map(|key| format!(
            "service {key}: the pods that its slices name now are not known yet; those before are kept until they are: see that pods can be listed and watched"
        ));
        let mut notes: Vec<_> = kept.collect();
        for (key, gateway) in self.gateways() {
            let unresolved = gateway.host_names.iter().map(|name| format!(
                "gateway {key}: the host name {name} is not resolved; give the Service an IP address or externalIPs"
            ));
            notes.extend(unresolved);
            if !gateway.exposed {
                let port = gateway.port;
                notes.push(format!(
                    "gateway {key}: the Service has no port {port}; add it"
                ));
            }
        }
        notes
    }

    /// Objects held, by kind.
    pub(crate) fn objects(&self) -> BTreeMap<Kind, usize> {
        Kind::ALL.map(|kind| (kind, self.count(kind))).into()
    }

    /// Entries of slices that are not used, by reason.
    pub(crate) fn ignored(&self) -> &BTreeMap<Ignored, usize> {
        self.slices.ignored()
    }

    fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::EndpointSlice => self.slices.len(),
            Kind::MeshConfig => self.mesh_configs.len(),
            Kind::Namespace => self.namespaces.len(),
            Kind::Node => self.nodes.len(),
            Kind::Pod => self.pods.len(),
            Kind::Service => self.services.len(),
            Kind::ServiceExport => self.exports.len(),
        }
    }

    fn keys(&self, kind: Kind) -> HashSet<ObjectKey> {
        fn of<V>(map: &HashMap<ObjectKey, V>) -> HashSet<ObjectKey> {
            map.keys().cloned().collect()
        }
        match kind {
            Kind::EndpointSlice => self.slices.keys().collect(),
            Kind::MeshConfig => of(&self.mesh_configs),
            Kind::Namespace => of(&self.namespaces),
            Kind::Node => of(&self.nodes),
            Kind::Pod => of(&self.pods),
            Kind::Service => of(&self.services),
            Kind::ServiceExport => self.exports.clone(),
        }
    }

    fn put(&mut self, key: ObjectKey, fact: Fact, at: Revision) {
        match fact {
            Fact::Service(fact) => self.put_service(key, fact),
            Fact::Slice(fact) => {
                let touched = self.slices.put(key.clone(), fact, at);
                if !touched.is_empty() {
                    self.touched.services.extend(touched);
                    self.touched.slices.insert(key);
                }
            }
            Fact::Pod(fact) => {
                if store(&mut self.pods, &key, fact) {
                    self.touch_pod(&key);
                }
            }
            Fact::Node(fact) => {
                if store(&mut self.nodes, &key, fact) {
                    self.touched.nodes.insert(key.name);
                }
            }
            Fact::Namespace(network) => {
                self.touched.everything |= store(&mut self.namespaces, &key, network);
            }
            Fact::MeshConfig(domain) => {
                self.touched.everything |= store(&mut self.mesh_configs, &key, domain);
            }
            Fact::ServiceExport => {
                if self.exports.insert(key.clone()) {
                    self.touch_service(&key);
                }
            }
        }
    }

    fn remove(&mut self, kind: Kind, key: &ObjectKey) {
        match kind {
            Kind::Service => self.remove_service(key),
            Kind::EndpointSlice => self.touched.services.extend(self.slices.remove(key)),
            Kind::ServiceExport if self.exports.remove(key) => self.touch_service(key),
            Kind::Pod if self.pods.remove(key).is_some() => self.touch_pod(key),
            Kind::Node if self.nodes.remove(key).is_some() => {
                self.touched.nodes.insert(Arc::clone(&key.name));
            }
            Kind::Namespace => self.touched.everything |= self.namespaces.remove(key).is_some(),
            Kind::MeshConfig => self.touched.everything |= self.mesh_configs.remove(key).is_some(),
            Kind::ServiceExport | Kind::Pod | Kind::Node => {}
        }
    }

    fn put_service(&mut self, key: ServiceKey, fact: ServiceFact) {
        let is_gateway = fact.gateway.is_some();
        if !store(&mut self.services, &key, fact) {
            return;
        }
        self.touch_service(&key);
        let was_gateway = self.gateways.remove(&key);
        self.touched.cluster |= is_gateway || was_gateway;
        if is_gateway {
            self.gateways.insert(key);
        }
    }

    fn remove_service(&mut self, key: &ServiceKey) {
        if self.services.remove(key).is_some() {
            self.touch_service(key);
            self.touched.cluster |= self.gateways.remove(key);
        }
    }

    /// A service's marks decide whether its slices are built at all.
    fn touch_service(&mut self, key: &ServiceKey) {
        self.touched.services.insert(key.clone());
        self.touched.slices.extend(self.slices.of(key).cloned());
    }

    fn touch_pod(&mut self, key: &ObjectKey) {
        self.touched.slices.extend(self.slices.naming(key).cloned());
    }

    fn slices_on(&self, nodes: &HashSet<Arc<str>>) -> Vec<ObjectKey> {
        let pods = self
            .pods
            .iter()
            .filter(|(_, pod)| nodes.contains(&pod.node));
        let slices = pods.flat_map(|(key, _)| self.slices.naming(key));
        slices.cloned().collect()
    }

    /// Builds a slice anew; its service when it still exists.
    fn rebuild(&mut self, key: &ObjectKey, rules: &Rules, import: &Policy) -> Option<ServiceKey> {
        let fact = self.slices.get(key)?;
        let service = service_of(key, fact);
        let built = match self.is_used(&service, rules) {
            true => self.build(key, fact, rules, import),
            false => Built::default(),
        };
        self.slices.built(key, built);
        Some(service)
    }

    fn build(&self, key: &ObjectKey, fact: &SliceFact, rules: &Rules, import: &Policy) -> Built {
        let trust_domain = self.trust_domain(rules);
        let surroundings = Surroundings {
            namespace: &key.namespace,
            network: self.network(rules),
            trust_domain: &trust_domain,
            import: (self.id != rules.own).then_some(import),
            pod: |name: &str| self.pods.get(&ObjectKey::new(&key.namespace, name)),
            node: |name: &str| {
                let node = self.nodes.get(&ObjectKey::new("", name));
                node.map(|node| &node.locality)
            },
        };
        surroundings.build(fact)
    }

    /// Whether anybody here may see the service's endpoints.
    fn is_used(&self, key: &ServiceKey, rules: &Rules) -> bool {
        let Some(service) = self.services.get(key) else {
            return false;
        };
        self.id == rules.own || self.export(key, service, rules).admits(&rules.own)
    }

    fn export(&self, key: &ServiceKey, service: &ServiceFact, rules: &Rules) -> Export {
        export::decide(rules.exports, key, service, self.exports.contains(key))
    }

    fn network<'a>(&'a self, rules: &'a Rules) -> Option<&'a Network> {
        let labelled = self.namespaces.values().find_map(Option::as_ref);
        let set = rules.network.as_ref().filter(|_| self.id == rules.own);
        set.or(labelled)
    }

    /// One that does not parse counts as none: whoever has such a certificate cannot be
    /// verified either.
    fn trust_domain(&self, rules: &Rules) -> TrustDomain {
        let written = self
            .mesh_configs
            .values()
            .find_map(|text| text.parse().ok());
        written.unwrap_or_else(|| rules.trust_domain.clone())
    }
}

/// Whether this is news.
fn store<T: PartialEq>(map: &mut HashMap<ObjectKey, T>, key: &ObjectKey, fact: T) -> bool {
    let is_news = map.get(key) != Some(&fact);
    if is_news {
        map.insert(key.clone(), fact);
    }
    is_news
}

fn addresses(gateway: &GatewayFact) -> impl Iterator<Item = Gateway> + '_ {
    let usable = gateway.addresses.iter().filter(|_| gateway.exposed);
    usable.map(|address| Gateway {
        network: gateway.network.clone(),
        address: *address,
        port: gateway.port,
    })
}
