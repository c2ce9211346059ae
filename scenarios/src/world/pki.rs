//! Certificates of the API servers, and the key that signs account tokens.
//!
//! Each cluster has an authority of its own, as real ones do: it has nothing to
//! do with the mesh's trust.

use std::{fs, net::IpAddr, path::Path};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use crate::topology::ClusterPlan;

/// Writes `ca.crt`, `server.crt`, `server.key`, `accounts.key` and
/// `accounts.pub`; returns the authority's certificate.
///
/// # Errors
/// When a file cannot be written.
pub fn write(directory: &Path, plan: &ClusterPlan) -> Result<String> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority
        .distinguished_name
        .push(DnType::CommonName, format!("{} API authority", plan.name));
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = authority.self_signed(&authority_key)?.pem();

    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(vec!["kubernetes.default.svc".to_owned()])?;
    server
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    server.subject_alt_names.extend(
        [
            plan.node().into(),
            IpAddr::from([127, 0, 0, 1]),
            IpAddr::from([10, 96, 0, 1]),
        ]
        .map(SanType::IpAddress),
    );
    let signed = server.signed_by(&key, &Issuer::new(authority, authority_key))?;

    let accounts = KeyPair::generate()?;
    fs::write(directory.join("ca.crt"), &certificate)?;
    fs::write(directory.join("server.crt"), signed.pem())?;
    fs::write(directory.join("server.key"), key.serialize_pem())?;
    fs::write(directory.join("accounts.key"), accounts.serialize_pem())?;
    fs::write(directory.join("accounts.pub"), accounts.public_key_pem())?;
    Ok(certificate)
}
