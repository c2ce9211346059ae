//! Mesh TLS verified with rustls alone, so that it can witness for and against our own
//! verifier.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The client's side of mesh TLS with the leaf in the directory `credential`, for the one
/// SPIFFE id `expected`.
pub(crate) fn config(credential: &Path, expected: &str, alpn: &str) -> Result<ClientConfig> {
    let file = |name: &str| {
        let path = credential.join(name);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let certificates = |name: &str| -> Result<Vec<CertificateDer<'static>>> {
        Ok(CertificateDer::pem_slice_iter(&file(name)?).collect::<Result<_, _>>()?)
    };
    let mut roots = RootCertStore::empty();
    for root in certificates("root-cert.pem")? {
        roots.add(root)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let witness = Witness {
        roots,
        expected: expected.to_owned(),
        provider: Arc::clone(&provider),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(witness))
        .with_client_auth_cert(
            certificates("cert-chain.pem")?,
            PrivateKeyDer::from_pem_slice(&file("key.pem")?)?,
        )?;
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    Ok(config)
}

/// Accepts one identity under the given roots, whatever the server's name.
#[derive(Debug)]
struct Witness {
    roots: RootCertStore,
    expected: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        let found = identities(leaf).map_err(|_| CertificateError::BadEncoding)?;
        if found == [self.expected.clone()] {
            return Ok(ServerCertVerified::assertion());
        }
        let reason = format!("it is {}, not {}", found.join(" "), self.expected);
        Err(Error::General(reason))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The URIs that a certificate speaks for.
pub(crate) fn identities(certificate: &CertificateDer<'_>) -> Result<Vec<String>> {
    let (_, parsed) = X509Certificate::from_der(certificate)?;
    let Some(names) = parsed.subject_alternative_name()? else {
        bail!("no subject alternative name");
    };
    let uris = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
    Ok(uris.collect())
}
