//! What a server saw of its client, by the header in which Envoy forwards it
//! (`x-forwarded-client-cert`).

use anyhow::{Context, Result, bail};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A client as a server's sidecar verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The URIs of the leaf: its SPIFFE id.
    pub uris: Vec<String>,
    /// The chain that it presented, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
}

impl ClientCertificate {
    /// Reads the header's only element.
    ///
    /// # Errors
    /// When the header has several elements, or a value is not what it should be.
    pub fn parse(header: &str) -> Result<Self> {
        let mut found = Self {
            uris: Vec::new(),
            chain: Vec::new(),
        };
        for (key, value) in pairs(header)? {
            match key {
                "URI" => found.uris.push(unescape(value)?),
                "Chain" => {
                    let pem = unescape(value)?;
                    found.chain =
                        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?;
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Who signed each member of the chain, leaf first: subjects, as certificates write them.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn issuers(&self) -> Result<Vec<String>> {
        let issuer = |member: &CertificateDer<'_>| {
            let (_, parsed) = X509Certificate::from_der(member)?;
            anyhow::Ok(parsed.issuer().to_string())
        };
        self.chain.iter().map(issuer).collect()
    }

    /// Whether the leaf is signed by `issuer`, and the chain presents it.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn is_signed_by(&self, issuer: &CertificateDer<'_>) -> Result<bool> {
        let leaf = self.chain.first().context("no certificate was forwarded")?;
        let (_, leaf) = X509Certificate::from_der(leaf)?;
        let (_, parsed) = X509Certificate::from_der(issuer)?;
        let signed = leaf.verify_signature(Some(parsed.public_key())).is_ok();
        Ok(signed && self.chain.iter().skip(1).any(|member| member == issuer))
    }
}

/// `key=value` pairs between semicolons, outside of quotes.
fn pairs(header: &str) -> Result<Vec<(&str, &str)>> {
    let mut quoted = false;
    let split = header.split(|character| {
        quoted ^= character == '"';
        !quoted && (character == ';' || character == ',')
    });
    let pairs = split.map(|pair| {
        let (key, value) = pair
            .split_once('=')
            .with_context(|| format!("no value: {pair}"))?;
        Ok((key, value.trim_matches('"')))
    });
    let pairs: Vec<_> = pairs.collect::<Result<_>>()?;
    if pairs.iter().filter(|(key, _)| *key == "Hash").count() > 1 {
        bail!("several clients in one header: {header}");
    }
    Ok(pairs)
}

/// Undoes percent encoding.
fn unescape(text: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (code, rest) = part.split_at_checked(2).context("an escape is cut off")?;
        bytes.push(u8::from_str_radix(code, 16)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Ok(String::from_utf8(bytes)?)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    fn certified(name: &str) -> (CertificateDer<'static>, String) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        (made.cert.der().clone(), made.cert.pem())
    }

    fn escape(pem: &str) -> String {
        pem.bytes().fold(String::new(), |mut text, byte| {
            match byte.is_ascii_alphanumeric() {
                true => text.push(char::from(byte)),
                false => text.push_str(&format!("%{byte:02X}")),
            }
            text
        })
    }

    #[test]
    fn the_header_gives_identity_and_chain() {
        let (leaf, leaf_pem) = certified("leaf");
        let (other, other_pem) = certified("other");
        let header = format!(
            "By=spiffe://td/ns/s/sa/server;Hash=00ff;Chain=\"{}\";URI=spiffe://td/ns/s/sa/client",
            escape(&(leaf_pem + &other_pem))
        );
        let client = ClientCertificate::parse(&header).unwrap();
        assert_eq!(client.uris, ["spiffe://td/ns/s/sa/client"]);
        assert_eq!(client.chain, [leaf.clone(), other.clone()]);
        // Presented, but not the signer; the signer (itself), but not presented.
        assert!(!client.is_signed_by(&other).unwrap());
        assert!(!client.is_signed_by(&leaf).unwrap());
    }

    #[test]
    fn a_chain_names_the_signer_that_is_in_it() {
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let signer = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let leaf = CertificateParams::default()
            .signed_by(&key, &issuer)
            .unwrap();
        let mut client = ClientCertificate {
            uris: Vec::new(),
            chain: vec![leaf.der().clone(), signer.der().clone()],
        };
        assert!(client.is_signed_by(signer.der()).unwrap());
        client.chain.pop();
        assert!(!client.is_signed_by(signer.der()).unwrap());
    }

    #[test]
    fn two_clients_in_one_header_are_refused() {
        assert!(ClientCertificate::parse("Hash=00;URI=a,Hash=11;URI=b").is_err());
    }
}
