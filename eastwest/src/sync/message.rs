//! A delta response, as far as a gateway reads it.
//!
//! The bodies stay slices of the one buffer that the message came in, so that of ten
//! thousand resources only those that are new are copied.

use bytes::Bytes;

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Response {
    /// Its resources.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Resource>,
    /// The type of all of them.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// What an answer has to name.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Names that are gone.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
}

/// `envoy.service.discovery.v3.Resource`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Resource {
    /// Its body; without one it only renews a lease.
    #[prost(message, optional, tag = "2")]
    pub resource: Option<Body>,
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// `google.protobuf.Any`, of the response's type.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Body {
    /// The resource's bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}
