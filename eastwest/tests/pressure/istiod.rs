//! What an istiod with thousands of services costs a gateway: memory, and processor time to
//! load them and for each change. The messages are recorded ones, with other names.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use envoy_types::pb::envoy::{
    config::{cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener},
    service::discovery::v3::DeltaDiscoveryResponse,
};
use libtest_mimic::Trial;
use prost::Message;

use crate::{
    control_plane::{ASSIGNMENT, Asked, CLUSTER, ControlPlane, LISTENER},
    process::{Orders, Process},
    trial,
    world::nobody,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("five_thousand_services_of_an_istiod", five_thousand)]
}

/// What an istiod says of one service.
struct Template {
    bodies: HashMap<String, Vec<u8>>,
    listener: Listener,
}

const SNI: &str = "outbound_.8000_._.httpbin.demo.svc.cluster.local";
const PLAIN: &str = "outbound|8000||httpbin.demo.svc.cluster.local";

impl Template {
    fn read() -> Self {
        let recorded = |file: &str| {
            let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
            let path = directory
                .join("tests/recorded/istiod-1.32/gateway")
                .join(file);
            DeltaDiscoveryResponse::decode(&*fs::read(path).unwrap()).unwrap()
        };
        let mut bodies = HashMap::new();
        for (kind, file) in [
            ("", "00-initial.001.CDS.pb"),
            ("eds ", "00-initial.003.EDS.pb"),
        ] {
            for resource in recorded(file).resources {
                let body = resource.resource.unwrap().value;
                bodies.insert(format!("{kind}{}", resource.name), body);
            }
        }
        let mut listeners = recorded("00-initial.002.LDS.pb").resources.into_iter();
        let mesh = listeners.find(|r| r.name == "0.0.0.0_15443").unwrap();
        let mut listener = Listener::decode(&*mesh.resource.unwrap().value).unwrap();
        listener.filter_chains.retain(|chain| {
            chain.filter_chain_match.as_ref().unwrap().server_names == [SNI.to_owned()]
        });
        Self { bodies, listener }
    }

    fn cluster(&self, name: &str, service: usize) -> (String, Vec<u8>) {
        let mut cluster = Cluster::decode(&*self.bodies[name]).unwrap();
        let name = renamed(name, service);
        cluster.name.clone_from(&name);
        cluster.alt_stat_name = format!("{name};");
        cluster
            .eds_cluster_config
            .as_mut()
            .unwrap()
            .service_name
            .clone_from(&name);
        (name, cluster.encode_to_vec())
    }

    fn assignment(&self, service: usize, weight: u32) -> (String, Vec<u8>) {
        let body = &self.bodies[&format!("eds {SNI}")];
        let mut assignment = ClusterLoadAssignment::decode(&**body).unwrap();
        let name = renamed(SNI, service);
        assignment.cluster_name.clone_from(&name);
        for locality in &mut assignment.endpoints {
            let twin = locality.lb_endpoints[0].clone();
            locality.lb_endpoints.push(twin);
            for endpoint in &mut locality.lb_endpoints {
                endpoint.load_balancing_weight.as_mut().unwrap().value = weight;
            }
        }
        (name, assignment.encode_to_vec())
    }

    fn listener(&self, services: usize, port: u16) -> (String, Vec<u8>) {
        use envoy_types::pb::envoy::{
            config::{
                core::v3::{address::Address, socket_address::PortSpecifier},
                listener::v3::filter::ConfigType,
            },
            extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy::ClusterSpecifier},
        };
        let mut listener = self.listener.clone();
        let address = listener.address.as_mut().unwrap().address.as_mut().unwrap();
        let Address::SocketAddress(socket) = address else {
            panic!("{address:?}")
        };
        socket.address = "127.0.0.1".to_owned();
        socket.port_specifier = Some(PortSpecifier::PortValue(port.into()));
        let one = listener.filter_chains.remove(0);
        let chain = |service| {
            let (mut chain, name) = (one.clone(), renamed(SNI, service));
            chain.filter_chain_match.as_mut().unwrap().server_names = vec![name.clone()];
            let last = chain.filters.last_mut().unwrap();
            let Some(ConfigType::TypedConfig(any)) = &mut last.config_type else {
                panic!("{last:?}")
            };
            let mut proxy = TcpProxy::decode(&*any.value).unwrap();
            proxy.stat_prefix.clone_from(&name);
            proxy.cluster_specifier = Some(ClusterSpecifier::Cluster(name));
            any.value = proxy.encode_to_vec();
            chain
        };
        listener.filter_chains = (0..services).map(chain).collect();
        (listener.name.clone(), listener.encode_to_vec())
    }
}

fn renamed(name: &str, service: usize) -> String {
    name.replace("httpbin", &format!("service-{service}"))
}

/// Says this many services as an istiod does: on a change, every cluster named by SNI, the
/// plain one that is new, and the whole listener.
async fn push(stream: &mut Asked, of: &Template, services: usize, new: usize, port: u16) -> usize {
    let plain = (services - new..services).map(|i| of.cluster(PLAIN, i));
    let clusters: Vec<_> = (0..services)
        .map(|i| of.cluster(SNI, i))
        .chain(plain)
        .collect();
    let listener = [of.listener(services, port)];
    say(stream, CLUSTER, &clusters).await;
    say(stream, LISTENER, &listener).await;
    let (more, _) = stream.subscription().await;
    assert_eq!(more.len(), new);
    let assignments: Vec<_> = (services - new..services)
        .map(|i| of.assignment(i, 1))
        .collect();
    say(stream, ASSIGNMENT, &assignments).await;
    let all = clusters.iter().chain(&listener).chain(&assignments);
    all.map(|(_, bytes)| bytes.len()).sum()
}

async fn say(stream: &mut Asked, kind: &str, resources: &[(String, Vec<u8>)]) {
    let resources: Vec<_> = resources
        .iter()
        .map(|(n, b)| (n.as_str(), b.clone()))
        .collect();
    let answer = stream.say(kind, &resources, &[]).await;
    assert_eq!(answer.error_detail, None);
}

async fn five_thousand() {
    let template = Template::read();
    let mut plane = ControlPlane::start(None).await;
    let state = tempfile::tempdir().unwrap();
    let source = format!(
        "{{ istiod: {{ address: \"{}\", plainText: true }} }}",
        plane.address
    );
    let gateway = Process::start(&Orders {
        settings: &format!("state: {{ directory: {} }}\n", state.path().display()),
        source: Some(&source),
        ..Orders::default()
    });
    let port = nobody().await.port();
    let mut stream = plane.stream().await;
    for _ in 0..2 {
        stream.request().await;
    }
    let empty = gateway.resident();
    let mut services = SERVICES;
    let begin = gateway.cpu();
    let bytes = push(&mut stream, &template, services, services, port).await;
    let routes = |gateway: &Process| gateway.metric("isthmus_eastwest_routes", "");
    assert_eq!(routes(&gateway) as usize, services);
    settled(&gateway).await;
    let loaded = gateway.cpu() - begin;
    let first = gateway.resident();
    println!(
        "{services} services, {bytes} bytes: {loaded:?} of processor time, {} KiB beside {} KiB \
         before",
        (first - empty) >> 10,
        empty >> 10
    );
    let (mut each, mut waits) = (Vec::new(), Vec::new());
    for _ in 0..CHANGES {
        services += 1;
        let begin = (gateway.cpu(), Instant::now());
        push(&mut stream, &template, services, 1, port).await;
        waits.push(begin.1.elapsed());
        settled(&gateway).await;
        each.push(gateway.cpu() - begin.0);
    }
    println!("a service more: {each:?} of processor time, answered after {waits:?}");
    let begin = gateway.cpu();
    for change in 0..CHANGES {
        let assignment = template.assignment(change, 2);
        say(&mut stream, ASSIGNMENT, &[assignment]).await;
    }
    settled(&gateway).await;
    let endpoint = (gateway.cpu() - begin) / CHANGES as u32;
    println!("an endpoint changed: {endpoint:?} of processor time");
    let last = gateway.resident();
    let measured = format!(
        "{} MiB, {} MiB after {CHANGES} changes",
        first >> 20,
        last >> 20
    );
    println!("{measured}");
    assert!(last <= GATE, "{measured}");
}

/// Waits until it uses no processor time any more.
async fn settled(gateway: &Process) {
    let mut before = gateway.cpu();
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = gateway.cpu();
        if now == before {
            return;
        }
        before = now;
    }
}

const SERVICES: usize = 5_000;
const CHANGES: usize = 10;
/// Of the goal for the whole process, 48 MiB, what its own files leave.
const GATE: u64 = 32 << 20;
