//! `tls-dial`: mesh TLS by hand, with the pod's own certificate.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use rustls::pki_types::ServerName;
use scenarios::dial::Dialled;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::witness::{config, identities};

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
    let config = config(&args.credential, &args.expect, &args.alpn)?;
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

const LIMIT: Duration = Duration::from_secs(10);
