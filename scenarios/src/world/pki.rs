//! Certificates of the API servers, and the key that signs account tokens.
//!
//! Each cluster has an authority of its own, as real ones do: it has nothing to
//! do with the mesh's trust.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Result, anyhow};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::topology::ClusterPlan;

/// What an API server shows, and who vouches for it.
#[derive(Debug)]
pub struct Identity {
    /// The authority's certificate, PEM.
    pub authority: String,
    certificate: Certificate,
    key: KeyPair,
}

impl Identity {
    /// The certificates that the server shows.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    /// Its key.
    ///
    /// # Errors
    /// Never, in practice: the key was just made.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::try_from(self.key.serialize_der()).map_err(|error| anyhow!(error))
    }
}

/// Makes an authority, and a certificate of an API server at these addresses.
///
/// # Errors
/// When a key cannot be made.
pub fn issue(cluster: &str, addresses: &[IpAddr]) -> Result<Identity> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority
        .distinguished_name
        .push(DnType::CommonName, format!("{cluster} API authority"));
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = authority.self_signed(&authority_key)?.pem();

    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(vec!["kubernetes.default.svc".to_owned()])?;
    server
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    let addresses = addresses.iter().copied().map(SanType::IpAddress);
    server.subject_alt_names.extend(addresses);
    Ok(Identity {
        authority: certificate,
        certificate: server.signed_by(&key, &Issuer::new(authority, authority_key))?,
        key,
    })
}

/// Writes `ca.crt`, `server.crt`, `server.key`, `accounts.key` and
/// `accounts.pub`; returns the authority's certificate.
///
/// # Errors
/// When a file cannot be written.
pub fn write(directory: &Path, plan: &ClusterPlan) -> Result<String> {
    let addresses = [
        plan.node().into(),
        IpAddr::from([127, 0, 0, 1]),
        IpAddr::from([10, 96, 0, 1]),
    ];
    let server = issue(&plan.name, &addresses)?;
    let accounts = KeyPair::generate()?;
    fs::write(directory.join("ca.crt"), &server.authority)?;
    fs::write(directory.join("server.crt"), server.certificate.pem())?;
    fs::write(directory.join("server.key"), server.key.serialize_pem())?;
    fs::write(directory.join("accounts.key"), accounts.serialize_pem())?;
    fs::write(directory.join("accounts.pub"), accounts.public_key_pem())?;
    Ok(server.authority)
}
