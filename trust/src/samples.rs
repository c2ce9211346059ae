//! Certificates for tests: right ones from our own hierarchy, wrong ones forged by hand.

use std::{env, process::Command, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::{
    bundle::Bundle,
    certificate::Certificate,
    hierarchy::{Ca, Tier, create_root},
    identity::SpiffeId,
    key::Key,
};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

pub(crate) fn id(account: &str) -> SpiffeId {
    format!("spiffe://cluster.local/ns/sample/sa/{account}")
        .parse()
        .unwrap()
}

pub(crate) fn root() -> Ca {
    create_root("cluster.local", 1, 100 * DAY, now()).unwrap()
}

pub(crate) fn intermediate(above: &Ca, cluster: &str) -> Ca {
    above
        .create_below(Tier::Intermediate(cluster), 1, 50 * DAY, now())
        .unwrap()
}

pub(crate) fn ders(chain: &[Certificate]) -> Vec<CertificateDer<'static>> {
    chain.iter().map(|c| c.der().clone()).collect()
}

pub(crate) fn bundle(roots: &[&Certificate]) -> Bundle {
    Bundle::new(roots.iter().copied().cloned(), "test").unwrap()
}

/// A certificate that our own code would not make.
pub(crate) struct Forged {
    pub(crate) certificate: Certificate,
    key: Key,
    params: CertificateParams,
}

/// What is to be forged; the default is a sound CA without an AKI.
#[derive(Clone)]
pub(crate) struct Forgery {
    pub(crate) name: &'static str,
    pub(crate) uris: Vec<&'static str>,
    pub(crate) ca: bool,
    pub(crate) path_len: Option<u8>,
    pub(crate) aki: bool,
    pub(crate) usages: Vec<KeyUsagePurpose>,
    pub(crate) eku: Vec<rcgen::ExtendedKeyUsagePurpose>,
    /// Days from now: begin and end.
    pub(crate) days: (i64, i64),
}

impl Default for Forgery {
    fn default() -> Self {
        Self {
            name: "forged",
            uris: Vec::new(),
            ca: true,
            path_len: None,
            aki: false,
            usages: vec![KeyUsagePurpose::KeyCertSign],
            eku: Vec::new(),
            days: (-1, 1),
        }
    }
}

impl Forgery {
    pub(crate) fn leaf() -> Self {
        Self {
            name: "",
            uris: vec!["spiffe://cluster.local/ns/sample/sa/client"],
            ca: false,
            usages: vec![KeyUsagePurpose::DigitalSignature],
            aki: true,
            ..Self::default()
        }
    }

    pub(crate) fn self_signed(&self) -> Forged {
        let (key, params) = (Key::generate().unwrap(), self.params());
        let made = params.self_signed(key.pair()).unwrap();
        Forged::of(made.der(), key, params)
    }

    pub(crate) fn signed_by(&self, signer: &Forged) -> Forged {
        let (key, params) = (Key::generate().unwrap(), self.params());
        let issuer = Issuer::from_params(&signer.params, signer.key.pair());
        let made = params.signed_by(key.pair(), &issuer).unwrap();
        Forged::of(made.der(), key, params)
    }

    /// A certificate for the subject and the key of another one: a cross-signature.
    pub(crate) fn for_key_of(&self, subject: &Forged, signer: &Forged) -> Certificate {
        let issuer = Issuer::from_params(&signer.params, signer.key.pair());
        let made = self
            .params()
            .signed_by(subject.key.pair(), &issuer)
            .unwrap();
        Certificate::from_der(made.der()).unwrap()
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if !self.name.is_empty() {
            params
                .distinguished_name
                .push(DnType::CommonName, self.name);
        }
        let uri = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
        params.subject_alt_names = self.uris.iter().map(uri).collect();
        params.is_ca = match (self.ca, self.path_len) {
            (false, _) => IsCa::ExplicitNoCa,
            (true, None) => IsCa::Ca(BasicConstraints::Unconstrained),
            (true, Some(limit)) => IsCa::Ca(BasicConstraints::Constrained(limit)),
        };
        params.key_usages = self.usages.clone();
        params.extended_key_usages = self.eku.clone();
        params.use_authority_key_identifier_extension = self.aki;
        params.not_before = now() + time::Duration::days(self.days.0);
        params.not_after = now() + time::Duration::days(self.days.1);
        params
    }
}

impl Forged {
    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    fn of(der: &CertificateDer<'_>, key: Key, params: CertificateParams) -> Self {
        Self {
            certificate: Certificate::from_der(der).unwrap(),
            key,
            params,
        }
    }
}

/// `openssl`, or the word that a test is skipped without it (an error where it is required).
pub(crate) fn openssl() -> Option<Command> {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if found {
        return Some(Command::new("openssl"));
    }
    assert!(
        env::var_os("ISTHMUS_REQUIRE_REAL_PARTS").is_none(),
        "openssl is required and missing: install it"
    );
    eprintln!("SKIPPED: openssl is not installed");
    None
}
