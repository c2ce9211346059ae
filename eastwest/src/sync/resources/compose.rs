//! A chain, its clusters and their endpoints, as routes. Pure.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use super::{chains::Entry, collection::Collection};
use crate::{
    route::{EndpointSpec, RouteSpec},
    sync::{
        decode::{
            Unfit,
            assignment::{Assignment, Endpoint},
            chain::Target,
            cluster::{Cluster, Upstream},
        },
        session::Kind,
    },
};

/// The routes that an entry makes: one for each of its names.
pub(super) fn routes(
    entry: &Entry,
    clusters: &Collection<Cluster>,
    assignments: &Collection<Assignment>,
) -> Vec<RouteSpec> {
    let chain = &entry.chain;
    let mut route = RouteSpec {
        listener: Arc::clone(&entry.listener),
        alpn: chain.alpn.clone(),
        closed: flaw(entry, clusters).is_some(),
        idle_timeout: chain.idle_timeout,
        max_duration: chain.max_duration,
        ..RouteSpec::of("".into())
    };
    let mut parts = Vec::new();
    let targets = match route.closed {
        true => &[][..],
        false => &chain.targets,
    };
    for target in targets {
        let Some(cluster) = clusters.good(&target.cluster) else {
            continue;
        };
        if parts.is_empty() {
            head(&mut route, cluster, chain.by_source);
        }
        let assignment = assignments.good(cluster.assignment(&target.cluster));
        let endpoints = assignment.map(|a| endpoints(a, cluster, chain.alpn.is_some()));
        parts.push((target.weight, endpoints.unwrap_or_default()));
    }
    route.endpoints = spread(parts);
    let named = |sni: &Arc<str>| RouteSpec {
        sni: Arc::clone(sni),
        ..route.clone()
    };
    chain.names.iter().map(named).collect()
}

/// What a route has of its first cluster.
fn head(route: &mut RouteSpec, cluster: &Cluster, by_source: bool) {
    route.service = Arc::clone(&cluster.service);
    route.connect_timeout = cluster.connect_timeout;
    route.max_connections = cluster.max_connections;
    route.eject = cluster.eject;
    route.by_source = by_source && cluster.hashes;
}

/// What of an entry has no effect, by the name of the resource that says it, with the reason.
pub(super) fn remarks(
    entry: &Entry,
    clusters: &Collection<Cluster>,
    assignments: &Collection<Assignment>,
) -> Vec<((Kind, String), String)> {
    let chain = &entry.chain;
    let closed = flaw(entry, clusters).map(|why| {
        let name = format!("{} {}", entry.listener, chain.names.join(" "));
        ((Kind::Listener, name), why)
    });
    let of_target = |target: &Target| {
        let cluster = clusters.good(&target.cluster)?;
        let assignment = assignments.good(cluster.assignment(&target.cluster))?;
        let may_use = |e: &&Endpoint| !may_use(e, cluster, chain.alpn.is_some());
        let unusable = assignment.endpoints.iter().filter(may_use).count();
        let why = match (assignment.left_out, unusable) {
            (0, 0) => return None,
            (0, unusable) => format!("{unusable} endpoints of a tlsMode that it may not use"),
            (left_out, 0) => format!("{left_out} endpoints without an IP address or a weight"),
            (left_out, unusable) => format!(
                "{left_out} endpoints without an IP address or a weight, {unusable} of a tlsMode \
                 that it may not use"
            ),
        };
        let name = cluster.assignment(&target.cluster).to_owned();
        Some(((Kind::Assignment, name), why))
    };
    closed
        .into_iter()
        .chain(chain.targets.iter().filter_map(of_target))
        .collect()
}

/// Why nobody may pass a chain.
fn flaw(entry: &Entry, clusters: &Collection<Cluster>) -> Option<String> {
    if entry.chain.flaw.is_some() {
        return entry.chain.flaw.clone();
    }
    if entry.ambiguous {
        return Some("another chain matches the same clients".to_owned());
    }
    let mut unfit = entry.chain.targets.iter().filter_map(|target| {
        let unfit: &Unfit = clusters.get(&target.cluster)?.err()?;
        Some(format!("its cluster {}: {unfit}", target.cluster))
    });
    unfit.next()
}

/// Whether an endpoint may be spoken to with the client's bytes: behind a chain for mesh
/// protocols only if it ends Istio's mTLS, so that no cluster's name opens a port that takes
/// plain text; behind any other chain if it takes bytes as they are.
fn may_use(endpoint: &Endpoint, cluster: &Cluster, mesh: bool) -> bool {
    match (mesh, cluster.upstream) {
        (true, Upstream::Raw) => endpoint.mutual,
        (true, Upstream::RawUnlessMutual) => false,
        (false, Upstream::Raw) => true,
        (false, Upstream::RawUnlessMutual) => !endpoint.mutual,
    }
}

fn endpoints(assignment: &Assignment, cluster: &Cluster, mesh: bool) -> Vec<EndpointSpec> {
    let all = assignment.endpoints.iter();
    let usable = all.filter(|endpoint| may_use(endpoint, cluster, mesh));
    if !cluster.by_locality {
        return usable.map(|endpoint| endpoint.spec.clone()).collect();
    }
    let mut localities: BTreeMap<usize, Vec<EndpointSpec>> = BTreeMap::new();
    for endpoint in usable {
        let of = localities.entry(endpoint.locality).or_default();
        of.push(endpoint.spec.clone());
    }
    let weight = |place: usize| {
        assignment
            .localities
            .get(place)
            .copied()
            .unwrap_or_default()
    };
    let parts = localities
        .into_iter()
        .map(|(place, all)| (weight(place), all));
    spread(parts.filter(|(weight, _)| *weight > 0).collect())
}

/// Puts parts together so that each gets its share whatever the weights inside it.
fn spread(mut parts: Vec<(u32, Vec<EndpointSpec>)>) -> Vec<EndpointSpec> {
    parts.retain(|(_, endpoints)| !endpoints.is_empty());
    if let [(_, endpoints)] = &mut parts[..] {
        return std::mem::take(endpoints);
    }
    let sum: u64 = parts.iter().map(|(weight, _)| u64::from(*weight)).sum();
    let mut all = Vec::new();
    for (share, endpoints) in parts {
        let inside: u64 = endpoints.iter().map(|e| u64::from(e.weight.get())).sum();
        let scaled = |weight: NonZeroU32| {
            let part = u128::from(share) * u128::from(weight.get()) * u128::from(WHOLE);
            let part = part / (u128::from(sum.max(1)) * u128::from(inside.max(1)));
            u32::try_from(part).ok().and_then(NonZeroU32::new)
        };
        all.extend(endpoints.into_iter().map(|endpoint| EndpointSpec {
            weight: scaled(endpoint.weight).unwrap_or(NonZeroU32::MIN),
            ..endpoint
        }));
    }
    all
}

/// The sum of all weights after [`spread`], nearly.
const WHOLE: u32 = 1 << 30;
