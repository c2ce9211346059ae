//! What SDS says, until it makes a credential: the leaf and the roots come one by one. Pure.

use envoy_types::pb::envoy::{
    config::core::v3::{DataSource, data_source::Specifier},
    extensions::transport_sockets::tls::v3::{Secret, secret::Type},
};
use prost::Message;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use time::OffsetDateTime;
use trust::{bundle::Bundle, certificate::Certificate, store::WorkloadCredential};

use super::resource::Unfit;

/// The newest leaf and roots.
#[derive(Debug, Default)]
pub struct Secrets {
    leaf: Option<(Vec<Certificate>, PrivateKeyDer<'static>)>,
    roots: Option<Bundle>,
}

impl Secrets {
    /// Takes a resource in.
    ///
    /// # Errors
    /// When it cannot be read; what was there before stays.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Unfit> {
        let secret = Secret::decode(bytes).map_err(Unfit::because)?;
        let place = secret.name.as_str();
        match (place, secret.r#type) {
            (CERTIFICATE, Some(Type::TlsCertificate(leaf))) => {
                let chain = inline(leaf.certificate_chain)?;
                let key = inline(leaf.private_key)?;
                let chain = Certificate::all_from_pem(&chain, place).map_err(Unfit::because)?;
                let key = PrivateKeyDer::from_pem_slice(&key);
                let key = key.map_err(|_| Unfit::because("its private key is no PEM"))?;
                self.leaf = Some((chain, key));
            }
            (ROOTS, Some(Type::ValidationContext(context))) => {
                let pem = inline(context.trusted_ca)?;
                self.roots = Some(Bundle::from_pem(&pem, place).map_err(Unfit::because)?);
            }
            _ => return Err(Unfit::because(format!("`{place}` was not asked for"))),
        }
        Ok(())
    }

    /// The credential that the newest of both make; none while one is missing.
    ///
    /// # Errors
    /// When they do not fit together: one of the two may still be on its way.
    pub fn credential(&self, now: OffsetDateTime) -> Result<Option<WorkloadCredential>, Unfit> {
        let (Some((chain, key)), Some(roots)) = (&self.leaf, &self.roots) else {
            return Ok(None);
        };
        WorkloadCredential::new(chain.clone(), key.clone_key(), roots.clone(), now, "SDS")
            .map(Some)
            .map_err(Unfit::because)
    }
}

fn inline(source: Option<DataSource>) -> Result<Vec<u8>, Unfit> {
    match source.and_then(|source| source.specifier) {
        Some(Specifier::InlineBytes(bytes)) => Ok(bytes),
        Some(Specifier::InlineString(text)) => Ok(text.into_bytes()),
        _ => Err(Unfit::because("a secret that is not inline")),
    }
}

/// The name of the leaf with its key.
pub const CERTIFICATE: &str = "default";
/// The name of the roots.
pub const ROOTS: &str = "ROOTCA";
