//! Messages that hold maps, with the maps in order: the generated ones use hash maps,
//! whose encoding changes from one run to the next. Tags and types are Envoy's; fields
//! that are never set are left out.

use std::collections::BTreeMap;

use super::envoy::{core, endpoint, google};

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) fields: BTreeMap<String, Value>,
}

/// `google.protobuf.Value`, as far as metadata needs it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Value {
    #[prost(oneof = "Content", tags = "3, 5, 6")]
    pub(super) content: Option<Content>,
}

/// What a value holds.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Content {
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(message, tag = "5")]
    Struct(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

/// `google.protobuf.ListValue`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct List {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<Value>,
}

/// `envoy.config.core.v3.Metadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metadata {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) filter_metadata: BTreeMap<String, Struct>,
}

/// The `metadata` of an `envoy.config.cluster.v3.Cluster`: appended to the encoding of a
/// cluster without metadata it is the encoding of that cluster with it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ClusterMetadata {
    #[prost(message, optional, tag = "25")]
    pub(super) metadata: Option<Metadata>,
}

/// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Assignment {
    #[prost(string, tag = "1")]
    pub(super) cluster_name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) endpoints: Vec<LocalityEndpoints>,
}

/// `envoy.config.endpoint.v3.LocalityLbEndpoints`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LocalityEndpoints {
    #[prost(message, optional, tag = "1")]
    pub(super) locality: Option<core::Locality>,
    #[prost(message, repeated, tag = "2")]
    pub(super) lb_endpoints: Vec<LbEndpoint>,
    #[prost(message, optional, tag = "3")]
    pub(super) load_balancing_weight: Option<google::UInt32Value>,
}

/// `envoy.config.endpoint.v3.LbEndpoint`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LbEndpoint {
    #[prost(message, optional, tag = "1")]
    pub(super) endpoint: Option<endpoint::Endpoint>,
    #[prost(enumeration = "core::HealthStatus", tag = "2")]
    pub(super) health_status: i32,
    #[prost(message, optional, tag = "3")]
    pub(super) metadata: Option<Metadata>,
    #[prost(message, optional, tag = "4")]
    pub(super) load_balancing_weight: Option<google::UInt32Value>,
}

impl Metadata {
    /// Metadata of these namespaces.
    pub(super) fn of<const N: usize>(namespaces: [(&str, Struct); N]) -> Self {
        let owned = |(name, fields): (&str, Struct)| (name.to_owned(), fields);
        Self {
            filter_metadata: namespaces.into_iter().map(owned).collect(),
        }
    }
}

impl Struct {
    /// A struct of these fields.
    pub(super) fn of<const N: usize>(fields: [(&str, Value); N]) -> Self {
        let owned = |(name, value): (&str, Value)| (name.to_owned(), value);
        Self {
            fields: fields.into_iter().map(owned).collect(),
        }
    }
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self {
            content: Some(Content::Text(text.into())),
        }
    }

    pub(super) fn list(values: Vec<Self>) -> Self {
        Self {
            content: Some(Content::List(List { values })),
        }
    }
}

impl From<Struct> for Value {
    fn from(fields: Struct) -> Self {
        Self {
            content: Some(Content::Struct(fields)),
        }
    }
}
