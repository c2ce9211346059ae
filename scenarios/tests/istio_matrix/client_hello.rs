//! ClientHellos of any name and protocol, and odd ways to send them.

use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName,
};

/// How a ClientHello is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// In one write.
    Whole,
    /// In segments of their own: behind the first byte, behind the record's header, and in
    /// the middle of the name.
    Pieces,
    /// As one handshake message in two TLS records, cut in the middle of the name.
    Records,
}

impl Cut {
    pub(crate) const ALL: [Self; 3] = [Self::Whole, Self::Pieces, Self::Records];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Pieces => "pieces",
            Self::Records => "records",
        }
    }

    /// What is written, one write after another.
    pub(crate) fn writes(self, hello: &[u8], sni: Option<&str>) -> Vec<Vec<u8>> {
        let middle = sni.and_then(|sni| Some(place(hello, sni.as_bytes())? + sni.len() / 2));
        let middle = middle.unwrap_or(hello.len() / 2);
        match self {
            Self::Whole => vec![hello.to_vec()],
            Self::Pieces => {
                let cuts = [0, 1, HEADER, middle, hello.len()];
                let pieces = cuts.windows(2).map(|cut| hello[cut[0]..cut[1]].to_vec());
                pieces.collect()
            }
            Self::Records => {
                let records = [&hello[HEADER..middle], &hello[middle..]];
                vec![records.map(|body| record(hello, body)).concat()]
            }
        }
    }
}

/// A ClientHello as rustls makes it: the name is written over one of its length that rustls
/// takes as it is.
pub(crate) fn client_hello(sni: Option<&str>, alpn: Option<&str>) -> Result<Vec<u8>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.into_iter().map(|name| name.into()).collect();
    config.enable_sni = sni.is_some();
    let stand_in = stand_in(sni.map_or(1, str::len));
    let name = ServerName::try_from(stand_in.clone())?;
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(config), name)?.write_tls(&mut hello)?;
    if let Some(sni) = sni {
        let at = place(&hello, stand_in.as_bytes()).context("rustls sent another name")?;
        hello[at..at + sni.len()].copy_from_slice(sni.as_bytes());
    }
    Ok(hello)
}

/// A host name of this length.
fn stand_in(length: usize) -> String {
    let letter = |place: usize| match place % LABEL == LABEL - 2 && place + 1 < length {
        true => '.',
        false => 'q',
    };
    (0..length).map(letter).collect()
}

/// A record of the kind and version of `like`, of a part of its body.
fn record(like: &[u8], body: &[u8]) -> Vec<u8> {
    let [.., high, low] = body.len().to_be_bytes();
    [&like[..3], &[high, low], body].concat()
}

fn place(of: &[u8], wanted: &[u8]) -> Option<usize> {
    of.windows(wanted.len()).position(|bytes| bytes == wanted)
}

const HEADER: usize = 5;
const LABEL: usize = 60;
