//! Which objects are followed in each cluster, by which selectors.

use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Resource,
    api::PartialObjectMeta,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};

use super::{
    Remote, Settings,
    project::{self, Fact, Interner, Kind, NodeFact},
    watch::Subject,
};

/// Starts to follow every kind.
pub(super) fn spawn_all(remote: &Remote, settings: &Settings) {
    remote.follow(Kind::Service, settings, |_| {
        whole::<Service>(|service, interner| project::service(service, interner).map(Fact::Service))
    });
    remote.follow(Kind::EndpointSlice, settings, |_| Subject {
        labels: Some("!multicluster.kubernetes.io/service-name".to_owned()),
        ..whole::<EndpointSlice>(|slice, interner| project::slice(slice, interner).map(Fact::Slice))
    });
    remote.follow(Kind::Pod, settings, |_| Subject {
        fields: Some("status.phase!=Failed".to_owned()),
        ..whole::<Pod>(|pod, interner| project::pod(pod, interner).map(Fact::Pod))
    });
    follow_nodes(remote, settings);
    remote.follow(Kind::Namespace, settings, |settings| Subject {
        fields: Some(format!("metadata.name={}", settings.system_namespace)),
        ..metadata::<Namespace>(|namespace, _| {
            Some(Fact::Namespace(project::namespace(&namespace.metadata)))
        })
    });
    remote.follow(Kind::MeshConfig, settings, |settings| Subject {
        path: ConfigMap::url_path(&(), Some(&settings.system_namespace)),
        fields: Some("metadata.name=istio".to_owned()),
        ..whole::<ConfigMap>(|map, _| project::mesh_config(map).map(Fact::MeshConfig))
    });
    remote.follow(Kind::ServiceExport, settings, |_| service_exports());
}

/// Of the own cluster's nodes more is asked: where its pods are.
fn follow_nodes(remote: &Remote, settings: &Settings) {
    if remote.watched().id() == &settings.own {
        remote.follow(Kind::Node, settings, |_| {
            whole::<Node>(|node, interner| Some(Fact::Node(project::own_node(node, interner))))
        });
        return;
    }
    remote.follow(Kind::Node, settings, |_| {
        metadata::<Node>(|node, interner| {
            Some(Fact::Node(NodeFact {
                locality: project::locality(&node.metadata, interner),
                pod_ranges: Vec::new(),
            }))
        })
    });
}

fn service_exports() -> Subject<PartialObjectMeta<DynamicObject>, Fact> {
    let kind = GroupVersionKind::gvk("multicluster.x-k8s.io", "v1alpha1", "ServiceExport");
    let resource = ApiResource::from_gvk_with_plural(&kind, "serviceexports");
    Subject {
        path: DynamicObject::url_path(&resource, None),
        labels: None,
        fields: None,
        group: Some("/apis/multicluster.x-k8s.io/v1alpha1"),
        metadata: true,
        project: |_, _| Some(Fact::ServiceExport),
    }
}

fn whole<K: Resource<DynamicType = ()>>(
    project: fn(&K, &mut Interner) -> Option<Fact>,
) -> Subject<K, Fact> {
    Subject {
        path: K::url_path(&(), None),
        labels: None,
        fields: None,
        group: None,
        metadata: false,
        project,
    }
}

fn metadata<K: Resource<DynamicType = ()>>(
    project: fn(&PartialObjectMeta<K>, &mut Interner) -> Option<Fact>,
) -> Subject<PartialObjectMeta<K>, Fact> {
    Subject {
        path: K::url_path(&(), None),
        labels: None,
        fields: None,
        group: None,
        metadata: true,
        project,
    }
}
