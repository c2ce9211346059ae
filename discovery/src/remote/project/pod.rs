//! Pod → its addresses, who it is, and where it runs.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use kube::core::ObjectMeta;

use super::{Interner, label, network};
use crate::model::{Locality, Network};

/// What is used of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodFact {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) node: Arc<str>,
    pub(crate) service_account: Arc<str>,
    pub(crate) workload: Arc<str>,
    pub(crate) canonical_name: Arc<str>,
    pub(crate) canonical_revision: Arc<str>,
    /// Label `topology.istio.io/network`.
    pub(crate) network: Option<Network>,
    /// Label `topology.istio.io/locality`, which goes before the node's.
    pub(crate) locality: Option<Locality>,
    /// Label `security.istio.io/tlsMode: istio`.
    pub(crate) mesh_tls: bool,
}

/// A Pod without an address yet has a fact too: it is known.
pub(crate) fn pod(pod: &Pod, interner: &mut Interner) -> Option<PodFact> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref()?;
    let status = pod.status.as_ref();
    let several = status
        .and_then(|s| s.pod_ips.as_deref())
        .unwrap_or_default();
    let first = status.and_then(|s| s.pod_ip.as_deref());
    let mut addresses: Vec<IpAddr> = several
        .iter()
        .map(|ip| ip.ip.as_str())
        .chain(first)
        .filter_map(|ip| ip.parse().ok())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let workload = workload(metadata);
    let canonical_name = first_label(metadata, &CANONICAL_NAME).unwrap_or(&workload);
    let canonical_revision = first_label(metadata, &CANONICAL_REVISION).unwrap_or("latest");
    let account = spec.service_account_name.as_deref();
    Some(PodFact {
        addresses,
        node: interner.intern(spec.node_name.as_deref().unwrap_or_default()),
        service_account: interner.intern(account.filter(|a| !a.is_empty()).unwrap_or("default")),
        canonical_name: interner.intern(canonical_name),
        canonical_revision: interner.intern(canonical_revision),
        workload: interner.intern(&workload),
        network: network(metadata),
        locality: locality(metadata, interner),
        mesh_tls: label(metadata, "security.istio.io/tlsMode") == Some("istio"),
    })
}

/// The name of what made the Pod (Istio's `pkg/kube/inject/webhook.go` by way of
/// `pkg/kube/util.go:GetWorkloadMetaFromPod`): a Deployment behind a `ReplicaSet`, a `CronJob`
/// behind a Job, else the owner, else the Pod itself.
fn workload(metadata: &ObjectMeta) -> String {
    if let Some(name) = label(metadata, "service.istio.io/workload-name") {
        return name.to_owned();
    }
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) else {
        return metadata.name.clone().unwrap_or_default();
    };
    let stem = match owner.kind.as_str() {
        "ReplicaSet" => label(metadata, "pod-template-hash")
            .and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-')),
        "Job" => owner.name.rsplit_once('-').and_then(|(stem, time)| {
            let scheduled = (8..=10).contains(&time.len());
            (scheduled && time.bytes().all(|b| b.is_ascii_digit())).then_some(stem)
        }),
        "ReplicationController" => label(metadata, "deploymentconfig"),
        _ => None,
    };
    stem.unwrap_or(&owner.name).to_owned()
}

/// `region/zone/subzone`, or with dots where there is no slash (Istio's
/// `pilot/pkg/model/context.go:GetLocalityLabel`).
fn locality(metadata: &ObjectMeta, interner: &mut Interner) -> Option<Locality> {
    let text = first_label(metadata, &["topology.istio.io/locality", "istio-locality"])?;
    let separator = if text.contains('/') { '/' } else { '.' };
    let mut parts = text.splitn(3, separator);
    let mut part = || interner.intern(parts.next().unwrap_or_default());
    Some(Locality {
        region: part(),
        zone: part(),
        subzone: part(),
    })
}

fn first_label<'a>(metadata: &'a ObjectMeta, names: &[&str]) -> Option<&'a str> {
    let mut values = names.iter().filter_map(|name| label(metadata, name));
    values.find(|value| !value.is_empty())
}

const CANONICAL_NAME: [&str; 3] = [
    "service.istio.io/canonical-name",
    "app.kubernetes.io/name",
    "app",
];
const CANONICAL_REVISION: [&str; 3] = [
    "service.istio.io/canonical-revision",
    "app.kubernetes.io/version",
    "version",
];
