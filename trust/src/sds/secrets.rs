//! A leaf as Envoy takes it: two resources, each with a version of its own.

use envoy_types::pb::{
    envoy::{
        config::core::v3::{DataSource, data_source::Specifier},
        extensions::transport_sockets::tls::v3::{
            CertificateValidationContext, Secret, TlsCertificate, secret::Type,
        },
        service::discovery::v3::Resource,
    },
    google::protobuf::Any,
};
use prost::{Message as _, Name as _};
use sha2::{Digest, Sha256};

use crate::issue::Leaf;

/// The resources of one workload. They hold its key: there is no `Debug`.
pub(super) struct Secrets {
    resources: [Resource; 2],
}

impl Secrets {
    /// The leaf's version is its serial number, that of the roots a hash of them: a renewed
    /// leaf does not send the same roots again.
    pub(super) fn new(leaf: &Leaf) -> Self {
        let certificate = TlsCertificate {
            certificate_chain: Some(inline(leaf.chain_pem())),
            private_key: Some(inline(leaf.key.to_pem())),
            ..TlsCertificate::default()
        };
        let roots = leaf.bundle.to_pem();
        let serial = leaf.chain.first().map_or_else(String::new, |c| c.serial());
        let hash = format!("{:x}", Sha256::digest(&roots));
        let validation = CertificateValidationContext {
            trusted_ca: Some(inline(roots)),
            ..CertificateValidationContext::default()
        };
        Self {
            resources: [
                resource(CERTIFICATE, serial, Type::TlsCertificate(certificate)),
                resource(ROOTS, hash, Type::ValidationContext(validation)),
            ],
        }
    }

    /// Both resources.
    pub(super) fn all(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter()
    }
}

fn resource(name: &str, version: String, content: Type) -> Resource {
    let secret = Secret {
        name: name.to_owned(),
        r#type: Some(content),
    };
    Resource {
        name: name.to_owned(),
        version,
        resource: Some(Any {
            type_url: Secret::type_url(),
            value: secret.encode_to_vec(),
        }),
        ..Resource::default()
    }
}

fn inline(text: String) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineBytes(text.into_bytes())),
        ..DataSource::default()
    }
}

/// The leaf with its key, by the name that Istio's agent uses.
pub(super) const CERTIFICATE: &str = "default";

/// The bundle, by the name that Istio's agent uses.
pub(super) const ROOTS: &str = "ROOTCA";
