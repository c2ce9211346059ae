//! What requests are served by: one value, made anew from what is known, that keeps what did
//! not change.

use std::{collections::BTreeMap, sync::Arc};

use tracing::error;

use super::{
    known::Known,
    refusal::Refusal,
    resource::{
        Cluster, Listener, Routes,
        listener::{Http, Source as RoutesFrom},
    },
    upstream::{Ground, Upstream},
};

/// Everything that is complete: a cluster with its endpoints, a listener with its routes.
#[derive(Debug, Default)]
pub(super) struct Picture {
    upstreams: BTreeMap<String, Arc<Upstream>>,
    listeners: BTreeMap<String, Arc<Listener>>,
    routes: BTreeMap<String, Arc<Routes>>,
}

impl Picture {
    /// The one that follows from what is known now. Connections to endpoints that are still
    /// there, dialled as before, stay.
    pub(super) fn next(&self, known: &Known, ground: &Ground) -> Self {
        let clusters = known.clusters.iter();
        let upstream = |(name, cluster): (&String, &Arc<Cluster>)| {
            let before = self.upstreams.get(name);
            match Upstream::next(cluster, &known.assignments, before, ground) {
                Ok(upstream) => Some((name.clone(), upstream?)),
                Err(error) => {
                    error!(cluster = name, %error, "left out");
                    None
                }
            }
        };
        let complete = |listener: &Listener| match listener.routes() {
            Some(name) => known.routes.get(name).is_some(),
            None => true,
        };
        let listeners = known.listeners.iter();
        let routes = known.routes.iter();
        Self {
            upstreams: clusters.filter_map(upstream).collect(),
            listeners: listeners
                .filter(|(_, listener)| complete(listener))
                .map(|(name, listener)| (name.clone(), Arc::clone(listener)))
                .collect(),
            routes: routes
                .map(|(name, routes)| (name.clone(), Arc::clone(routes)))
                .collect(),
        }
    }

    /// The listeners, by name.
    pub(super) fn listeners(&self) -> &BTreeMap<String, Arc<Listener>> {
        &self.listeners
    }

    /// The clusters, by name.
    pub(super) fn upstreams(&self) -> &BTreeMap<String, Arc<Upstream>> {
        &self.upstreams
    }

    /// Where a request for `host` goes.
    pub(super) fn route(&self, http: &Http, host: &str) -> Result<&Arc<Upstream>, Refusal> {
        let routes = match &http.routes {
            RoutesFrom::Named(name) => self.routes.get(name),
            RoutesFrom::Fixed(routes) => Some(routes),
        };
        let cluster = routes.and_then(|routes| routes.cluster(host));
        self.upstream(cluster.ok_or(Refusal::NoRoute)?)
    }

    /// The cluster of this name.
    pub(super) fn upstream(&self, cluster: &str) -> Result<&Arc<Upstream>, Refusal> {
        self.upstreams.get(cluster).ok_or(Refusal::NoCluster)
    }
}
