//! `RouteConfiguration`: from the Host of a request to a sidecar's cluster.

use std::collections::BTreeMap;

use super::{
    Kind, Resource,
    envoy::{route, seconds},
};
use crate::model::ServiceKey;

/// The services that sidecars can call: key and ports.
#[derive(Debug, Clone, Copy)]
pub struct Routes<'a>(&'a BTreeMap<ServiceKey, Vec<u16>>);

impl<'a> Routes<'a> {
    /// The routes of these services; the ports in the order of the Service.
    #[must_use]
    pub fn new(services: &'a BTreeMap<ServiceKey, Vec<u16>>) -> Self {
        Self(services)
    }

    /// The configuration `outbound` of a viewer in `namespace`: a virtual host per port,
    /// for `host`, `name.namespace` and, in its own namespace, `name`, each with and
    /// without the port. No retries and no time limit: what is lost shows.
    #[must_use]
    pub fn encode(&self, namespace: &str, domain: &str) -> Resource {
        let hosts = self.0.iter().flat_map(|(key, ports)| {
            let default = default_port(ports);
            let host = move |port: &u16| {
                let domains = domains(key, *port, Some(*port) == default, namespace, domain);
                virtual_host(key, *port, domains, domain)
            };
            ports.iter().map(host)
        });
        let message = route::RouteConfiguration {
            name: OUTBOUND.to_owned(),
            virtual_hosts: hosts.collect(),
            ..Default::default()
        };
        Resource::encode(Kind::Route, OUTBOUND, &message)
    }
}

/// A configuration that routes nothing.
#[must_use]
pub fn no_routes(name: &str) -> Resource {
    let message = route::RouteConfiguration {
        name: name.to_owned(),
        ..Default::default()
    };
    Resource::encode(Kind::Route, name, &message)
}

/// Everything to one cluster.
pub(super) fn to_one(cluster: &str) -> route::RouteConfiguration {
    let host = route::VirtualHost {
        name: cluster.to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![everything(cluster)],
        ..Default::default()
    };
    route::RouteConfiguration {
        name: cluster.to_owned(),
        virtual_hosts: vec![host],
        ..Default::default()
    }
}

fn virtual_host(
    key: &ServiceKey,
    port: u16,
    domains: Vec<String>,
    domain: &str,
) -> route::VirtualHost {
    route::VirtualHost {
        name: format!("{}:{port}", key.host(domain)),
        domains,
        routes: vec![everything(&key.outbound(port, domain))],
        ..Default::default()
    }
}

/// Envoy refuses a configuration in which a domain comes twice: names of Services have no
/// dot, so these are distinct over all services and ports.
fn domains(
    key: &ServiceKey,
    port: u16,
    default: bool,
    namespace: &str,
    domain: &str,
) -> Vec<String> {
    let mut names = vec![key.host(domain), format!("{}.{}", key.name, key.namespace)];
    if *key.namespace == *namespace {
        names.push(key.name.to_string());
    }
    let with_port = names.iter().map(|name| format!("{name}:{port}"));
    let mut domains: Vec<_> = with_port.collect();
    if default {
        domains.extend(names);
    }
    domains
}

/// The port of a Host without one: 80 as HTTP has it, else the Service's first.
fn default_port(ports: &[u16]) -> Option<u16> {
    let http = ports.iter().find(|port| **port == 80);
    http.or_else(|| ports.first()).copied()
}

fn everything(cluster: &str) -> route::Route {
    use route::{
        RouteAction, RouteMatch, route::Action, route_action::ClusterSpecifier,
        route_match::PathSpecifier,
    };
    let action = RouteAction {
        timeout: Some(seconds(0)),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        ..Default::default()
    };
    route::Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
            ..Default::default()
        }),
        action: Some(Action::Route(action)),
        ..Default::default()
    }
}

/// The name that the outbound listener asks for.
const OUTBOUND: &str = "outbound";
