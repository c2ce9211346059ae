//! Service → ports, marks of its export, and the gateway that it may be.

use std::{collections::BTreeSet, net::IpAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort as KubePort, ServiceSpec};

use super::{Interner, annotation, label, network};
use crate::model::{ClusterId, Network, ServicePort};

/// What is used of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceFact {
    /// TCP ports, sorted by number.
    pub(crate) ports: Vec<ServicePort>,
    pub(crate) headless: bool,
    /// Label `isthmus.io/export`.
    pub(crate) marked: Option<bool>,
    /// Annotation `isthmus.io/to`.
    pub(crate) to: Option<BTreeSet<ClusterId>>,
    /// Present when the Service is an east-west gateway.
    pub(crate) gateway: Option<GatewayFact>,
}

/// What is used of an east-west gateway's Service (Istio's
/// `pilot/pkg/serviceregistry/kube/controller/network.go`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GatewayFact {
    pub(crate) network: Network,
    pub(crate) port: u16,
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Load balancer host names, which are not resolved yet.
    pub(crate) host_names: BTreeSet<String>,
    /// Whether the Service has the port at all.
    pub(crate) exposed: bool,
}

/// `None` for an `ExternalName`: it never has endpoints.
pub(crate) fn service(service: &Service, interner: &mut Interner) -> Option<ServiceFact> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    let metadata = &service.metadata;
    let given = spec.ports.as_deref().unwrap_or_default();
    let mut ports: Vec<_> = given.iter().filter_map(|p| port(p, interner)).collect();
    ports.sort();
    let to = |list: &str| {
        let names = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        names.map(ClusterId::from).collect()
    };
    Some(ServiceFact {
        gateway: gateway(service, spec, &ports),
        ports,
        headless: spec.cluster_ip.as_deref() == Some("None"),
        marked: label(metadata, "isthmus.io/export").map(|value| value == "true"),
        to: annotation(metadata, "isthmus.io/to").map(to),
    })
}

fn port(port: &KubePort, interner: &mut Interner) -> Option<ServicePort> {
    if port.protocol.as_deref().is_some_and(|p| p != "TCP") {
        return None;
    }
    let name = port.name.as_deref().unwrap_or_default();
    Some(ServicePort {
        number: u16::try_from(port.port).ok().filter(|n| *n > 0)?,
        name: interner.intern(name),
        http: is_http(port.app_protocol.as_deref(), name),
    })
}

/// `appProtocol` decides, else the name up to its first dash (Istio's
/// `pkg/config/kube/conversion.go:ConvertProtocol`).
fn is_http(app_protocol: Option<&str>, name: &str) -> bool {
    let prefix = name.split('-').next().unwrap_or_default();
    let protocol = match app_protocol.map(str::to_ascii_lowercase) {
        Some(protocol) => protocol,
        None if name.starts_with("grpc-web") => "grpc-web".to_owned(),
        None => prefix.to_ascii_lowercase(),
    };
    matches!(
        protocol.as_str(),
        "http"
            | "http2"
            | "grpc"
            | "grpc-web"
            | "kubernetes.io/h2c"
            | "kubernetes.io/ws"
            | "kubernetes.io/wss"
    )
}

fn gateway(service: &Service, spec: &ServiceSpec, ports: &[ServicePort]) -> Option<GatewayFact> {
    let network = network(&service.metadata)?;
    let port = match label(&service.metadata, "networking.istio.io/gatewayPort") {
        Some(text) => text.parse().ok()?,
        None => MESH_PORT,
    };
    let mut addresses = BTreeSet::new();
    let mut host_names = BTreeSet::new();
    if spec.type_.as_deref() == Some("LoadBalancer") {
        let status = service
            .status
            .as_ref()
            .and_then(|s| s.load_balancer.as_ref());
        for ingress in status
            .and_then(|lb| lb.ingress.as_deref())
            .unwrap_or_default()
        {
            match (&ingress.ip, &ingress.hostname) {
                (Some(ip), _) => addresses.extend(ip.parse::<IpAddr>()),
                (None, Some(name)) => host_names.extend([name.clone()]),
                (None, None) => {}
            }
        }
    }
    let external = spec.external_ips.as_deref().unwrap_or_default();
    addresses.extend(external.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()));
    Some(GatewayFact {
        network,
        port,
        addresses,
        host_names,
        exposed: ports.iter().any(|p| p.number == port),
    })
}

/// Where east-west gateways take mesh traffic.
const MESH_PORT: u16 = 15443;
