//! `tls-dial`: mesh TLS by hand, with the pod's own certificate. It verifies
//! with rustls alone, so that it can witness for and against our own verifier.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

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
use scenarios::dial::Dialled;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Whom to dial, as whom, and whom to accept there.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A leaf directory: `cert-chain.pem`, `key.pem`, `root-cert.pem`.
    #[arg(long)]
    credential: PathBuf,
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    sni: String,
    #[arg(long, default_value = "istio")]
    alpn: String,
    /// The one SPIFFE id to accept.
    #[arg(long)]
    expect: String,
    /// Ask for `/hello` of this host once connected.
    #[arg(long)]
    host: String,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let dialled = match tokio::time::timeout(LIMIT, dial(&args)).await {
        Ok(dialled) => dialled?,
        Err(_) => Dialled::failed("connect", format!("no answer in {LIMIT:?}")),
    };
    println!("{}", serde_json::to_string(&dialled)?);
    Ok(())
}

async fn dial(args: &Args) -> Result<Dialled> {
    let config = config(args)?;
    let name = ServerName::try_from(args.sni.clone())?;
    let stream = match TcpStream::connect(args.address).await {
        Ok(stream) => stream,
        Err(error) => return Ok(Dialled::failed("connect", error.to_string())),
    };
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = match connector.connect(name, stream).await {
        Ok(stream) => stream,
        Err(error) => {
            let reason = error.to_string().replace("unexpected error: ", "");
            return Ok(Dialled::failed("handshake", reason));
        }
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let identity = certificates
        .first()
        .and_then(|leaf| identities(leaf).ok()?.pop());
    // In TLS 1.3 only an answer shows that the server took our certificate.
    let request = format!(
        "GET /hello HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        args.host
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer).await
        && answer.is_empty()
    {
        return Ok(Dialled::failed("answer", error.to_string()));
    }
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.lines().next().unwrap_or_default().to_owned();
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    Ok(Dialled {
        identity,
        status: Some(status),
        body,
        ..Dialled::default()
    })
}

fn config(args: &Args) -> Result<ClientConfig> {
    let file = |name: &str| {
        let path = args.credential.join(name);
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
        expected: args.expect.clone(),
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
    config.alpn_protocols = vec![args.alpn.clone().into_bytes()];
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
fn identities(certificate: &CertificateDer<'_>) -> Result<Vec<String>> {
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

const LIMIT: Duration = Duration::from_secs(10);
