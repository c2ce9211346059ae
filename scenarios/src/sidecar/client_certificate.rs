//! What an application is told of its client: Envoy's `x-forwarded-client-cert` with URI and
//! chain, character by character as Envoy writes it. Pure.

use http::HeaderValue;
use pem::{EncodeConfig, LineEnding, Pem, encode_config};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use trust::{certificate::Certificate, identity::SpiffeId};

use crate::peers::hex;

/// The header for a client that presented `chain`, leaf first, to `own`; none without a
/// certificate.
#[must_use]
pub fn header(own: &SpiffeId, chain: &[CertificateDer<'_>]) -> Option<HeaderValue> {
    let leaf = chain.first()?;
    let certificate = Certificate::from_der(leaf).ok()?;
    let uri = certificate.uris().first().map_or("", String::as_str);
    let chain: String = chain.iter().map(escaped).collect();
    let hash = hex(&Sha256::digest(leaf));
    let value = format!("By={own};Hash={hash};Chain=\"{chain}\";URI={uri}");
    HeaderValue::try_from(value).ok()
}

/// Its PEM, with the characters of PEM that a URL cannot carry in percent encoding.
fn escaped(certificate: &CertificateDer<'_>) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let pem = encode_config(&Pem::new("CERTIFICATE", certificate.to_vec()), config);
    let mut escaped = String::with_capacity(pem.len() * 9 / 8);
    for character in pem.chars() {
        match character {
            '\n' => escaped.push_str("%0A"),
            ' ' => escaped.push_str("%20"),
            '+' => escaped.push_str("%2B"),
            '/' => escaped.push_str("%2F"),
            '=' => escaped.push_str("%3D"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::OffsetDateTime;
    use trust::hierarchy::{Tier, create_root};

    use super::*;
    use crate::witness::ClientCertificate;

    #[test]
    fn the_header_is_read_as_envoys_is() {
        let (day, now) = (Duration::from_secs(86_400), OffsetDateTime::now_utc());
        let root = create_root("mesh.example", 1, day, now).unwrap();
        let ca = root
            .create_below(Tier::Intermediate("c1"), 1, day, now)
            .unwrap();
        let id = |account: &str| -> SpiffeId {
            let id = format!("spiffe://mesh.example/ns/sample/sa/{account}");
            id.parse().unwrap()
        };
        let leaf = ca.issue(&id("client"), day, now).unwrap();
        let chain: Vec<_> = leaf.chain.iter().map(|c| c.der().clone()).collect();
        let header = header(&id("server"), &chain).unwrap();
        let text = header.to_str().unwrap();
        let hash = leaf.chain[0].fingerprint();
        let begin = format!("By={};Hash={hash};Chain=\"-----BEGIN%20", id("server"));
        assert!(text.starts_with(&begin), "{text}");
        let read = ClientCertificate::parse(text).unwrap();
        assert_eq!(read.uris, [id("client").to_string()]);
        assert_eq!(read.chain, chain);
    }

    #[test]
    fn without_a_certificate_nothing_is_told() {
        let own = "spiffe://td/ns/a/sa/b".parse().unwrap();
        assert_eq!(header(&own, &[]), None);
    }
}
