//! From the Host of a request to a cluster.

use std::collections::HashMap;

use envoy_types::pb::{
    envoy::config::route::v3::{
        Route, RouteAction, RouteConfiguration, VirtualHost, route::Action,
        route_action::ClusterSpecifier, route_match::PathSpecifier,
    },
    google::protobuf::Duration,
};

use super::{Unfit, message, not_understood, nothing_left, only};

/// Which cluster a Host leads to, whatever the path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// By domain, in lower case.
    hosts: HashMap<String, String>,
    /// For all others.
    any: Option<String>,
}

impl Routes {
    /// Decodes a route configuration.
    ///
    /// # Errors
    /// [`Unfit`], when something in it is not understood.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unfit> {
        Self::of(message(bytes)?)
    }

    /// The same of a message.
    pub(super) fn of(mut message: RouteConfiguration) -> Result<Self, Unfit> {
        message.name.clear();
        let mut routes = Self::default();
        for host in std::mem::take(&mut message.virtual_hosts) {
            routes.add(host)?;
        }
        nothing_left("a route configuration", &message)?;
        Ok(routes)
    }

    /// The cluster for a Host, which may carry a port; a domain without a port is for Hosts
    /// without one.
    #[must_use]
    pub fn cluster(&self, host: &str) -> Option<&str> {
        let exact = self.hosts.get(&host.to_ascii_lowercase());
        exact.or(self.any.as_ref()).map(String::as_str)
    }

    fn add(&mut self, mut host: VirtualHost) -> Result<(), Unfit> {
        host.name.clear();
        let routes = std::mem::take(&mut host.routes);
        let cluster = everything(only("routes of a virtual host", routes)?)?;
        for domain in std::mem::take(&mut host.domains) {
            let before = match domain.as_str() {
                "*" => self.any.replace(cluster.clone()),
                pattern if pattern.contains('*') => return not_understood("a part of a domain"),
                exact => self
                    .hosts
                    .insert(exact.to_ascii_lowercase(), cluster.clone()),
            };
            if before.is_some() {
                return Err(Unfit::because(format!("domain `{domain}` comes twice")));
            }
        }
        nothing_left("a virtual host", &host)
    }
}

/// The cluster of a route for every path, without a time limit.
fn everything(mut route: Route) -> Result<String, Unfit> {
    let mut path = route.r#match.take().unwrap_or_default();
    let action = route.action.take();
    route.name.clear();
    nothing_left("a route", &route)?;
    if path.path_specifier.take() != Some(PathSpecifier::Prefix("/".to_owned())) {
        return not_understood("a route for some paths only");
    }
    nothing_left("a route's match", &path)?;
    match action {
        Some(Action::Route(action)) => cluster(action),
        _ => not_understood("a route that leads to no cluster"),
    }
}

fn cluster(mut action: RouteAction) -> Result<String, Unfit> {
    if action.timeout.take() != Some(Duration::default()) {
        return not_understood("a time limit");
    }
    let Some(ClusterSpecifier::Cluster(cluster)) = action.cluster_specifier.take() else {
        return not_understood("a route that leads to no single cluster");
    };
    nothing_left("a route's action", &action)?;
    Ok(cluster)
}
