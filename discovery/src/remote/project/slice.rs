//! EndpointSlice → which addresses stand behind a service, and whose they claim to be.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

use super::{Interner, label};

/// What is used of an EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SliceFact {
    /// The service's name, in the slice's namespace.
    pub(crate) service: Arc<str>,
    /// Name and target of TCP ports.
    pub(crate) ports: Vec<(Arc<str>, u16)>,
    pub(crate) endpoints: Vec<SliceEndpoint>,
}

/// One entry of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SliceEndpoint {
    /// `None` when it is no IP address.
    pub(crate) address: Option<IpAddr>,
    pub(crate) backing: Backing,
    pub(crate) ready: bool,
}

/// What an entry says stands behind its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backing {
    /// A Pod of this name, in the slice's namespace.
    Pod(Arc<str>),
    /// A Pod of another namespace.
    Elsewhere,
    /// No Pod.
    Nothing,
}

/// `None` when it belongs to no service of this cluster, or names hosts instead of addresses.
pub(crate) fn slice(slice: &EndpointSlice, interner: &mut Interner) -> Option<SliceFact> {
    let metadata = &slice.metadata;
    if label(metadata, IMPORTED).is_some() || slice.address_type == "FQDN" {
        return None;
    }
    let service = interner.intern(label(metadata, "kubernetes.io/service-name")?);
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let ports = slice.ports.as_deref().unwrap_or_default();
    Some(SliceFact {
        service,
        ports: ports.iter().filter_map(|p| port(p, interner)).collect(),
        endpoints: slice
            .endpoints
            .iter()
            .flatten()
            .map(|e| endpoint(e, namespace, interner))
            .collect(),
    })
}

fn port(port: &EndpointPort, interner: &mut Interner) -> Option<(Arc<str>, u16)> {
    if port.protocol.as_deref().is_some_and(|p| p != "TCP") {
        return None;
    }
    let number = u16::try_from(port.port?).ok().filter(|n| *n > 0)?;
    Some((
        interner.intern(port.name.as_deref().unwrap_or_default()),
        number,
    ))
}

/// Ready unless told otherwise; consumers use the first address only (both as in the
/// `discovery.k8s.io/v1` documentation). An entry that terminates says `ready: false` itself.
fn endpoint(endpoint: &Endpoint, namespace: &str, interner: &mut Interner) -> SliceEndpoint {
    let conditions = endpoint.conditions.as_ref();
    let backing = match &endpoint.target_ref {
        Some(target) if target.kind.as_deref() == Some("Pod") => {
            let elsewhere = target.namespace.as_deref().is_some_and(|n| n != namespace);
            match &target.name {
                Some(_) if elsewhere => Backing::Elsewhere,
                Some(name) => Backing::Pod(interner.intern(name)),
                None => Backing::Nothing,
            }
        }
        _ => Backing::Nothing,
    };
    SliceEndpoint {
        address: endpoint.addresses.first().and_then(|a| a.parse().ok()),
        backing,
        ready: conditions.and_then(|c| c.ready).unwrap_or(true),
    }
}

/// Slices that another multi-cluster controller imported.
const IMPORTED: &str = "multicluster.kubernetes.io/service-name";
