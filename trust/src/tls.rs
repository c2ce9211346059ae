//! TLS in both directions: who we are and whom we believe is looked up at each handshake.
//!
//! Sessions are never resumed, because a resumed session would bring back a peer that was
//! verified against a bundle of the past.

mod follow;
mod live;
mod peers;
mod verifier;

use std::sync::Arc;

use rustls::{
    ClientConfig, ServerConfig,
    client::Resumption,
    pki_types::CertificateDer,
    server::NoServerSessionStorage,
    version::{TLS12, TLS13},
};

use time::OffsetDateTime;

use crate::{
    bundle::Bundle,
    certificate::{Certificate, Refusal},
    error::Error,
    identity::SpiffeId,
    provider,
};

pub use live::LiveCredential;
pub use peers::Peers;
use verifier::Verifier;

/// The client's side: shows the live leaf, believes servers that `peers` admits. The name in
/// the SNI is whatever the caller connects to; it is not compared with the certificate.
///
/// # Errors
/// [`Error::Tls`] when the TLS library refuses the settings.
pub fn client_config(
    live: &LiveCredential,
    peers: Peers,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, Error> {
    let verifier = Verifier::new(live.clone(), peers);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(settings)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(live.clone()));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The client's side towards a server that is known by a name and not by a SPIFFE id, such
/// as an istiod: believes certificates for that name under the roots that are valid now, and
/// shows none.
///
/// # Errors
/// [`Error::Tls`] when the TLS library refuses the settings.
pub fn named_server(bundle: &Bundle, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(settings)?
        .with_root_certificates(bundle.anchors(OffsetDateTime::now_utc()))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The server's side: shows the live leaf, asks every client for its certificate and believes
/// those that `peers` admits.
///
/// # Errors
/// [`Error::Tls`] when the TLS library refuses the settings.
pub fn server_config(
    live: &LiveCredential,
    peers: Peers,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, Error> {
    let verifier = Verifier::new(live.clone(), peers);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(settings)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(live.clone()));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Who the peer of a finished handshake is, from the certificates it presented. This does not
/// verify them: the handshake did.
///
/// # Errors
/// [`Error::Refused`] when there is no certificate, or it carries no single SPIFFE id.
pub fn peer_identity(certs: &[CertificateDer<'_>]) -> Result<SpiffeId, Error> {
    let leaf = certs.first().ok_or(Refusal::Empty);
    leaf.and_then(Certificate::from_der)
        .and_then(|leaf| leaf.identity())
        .map_err(|refusal| Error::Refused {
            place: "the peer's certificate".to_owned(),
            refusal,
        })
}

fn settings(source: rustls::Error) -> Error {
    Error::Tls {
        place: "TLS settings".to_owned(),
        source,
    }
}

#[cfg(test)]
#[cfg(feature = "ca")]
mod tests;
