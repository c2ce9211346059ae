//! What goes into a certificate: one profile for each place in the hierarchy.
//!
//! [`Plan::new`] decides names and dates from its arguments alone; `sign` puts a decided plan
//! under a signer's key. Leaf shapes are those of Istio's CA (`security/pkg/pki/ca`): empty
//! subject and therefore a critical alternative name, validity from two minutes ago.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use time::OffsetDateTime;

use crate::{
    bundle::Bundle, certificate::Certificate, error::Error, identity::SpiffeId, key::Key,
    store::WorkloadCredential,
};

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile<'a> {
    /// The root of a mesh.
    Root(CaName<'a>),
    /// A mesh issuer: online, below the root, signs intermediates.
    Issuer(CaName<'a>),
    /// The intermediate of a cluster: signs leaves and nothing else.
    Intermediate(CaName<'a>),
    /// A workload.
    Leaf(&'a SpiffeId),
}

/// The parts of a CA's name. The generation keeps two roots of one mesh apart by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaName<'a> {
    /// The mesh: by custom its trust domain.
    pub mesh: &'a str,
    /// The cluster, for an intermediate.
    pub cluster: Option<&'a str>,
    /// 1 for the first key of this place, one more for each that follows.
    pub generation: u32,
}

/// A decided certificate: everything but the public key and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    organization: Option<String>,
    common_name: Option<String>,
    uri: Option<String>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Leaf,
    Ca { path_len: Option<u8> },
}

/// A leaf as it was issued: with its key, what follows it in a handshake, and the bundle.
#[derive(Debug)]
pub struct Leaf {
    /// The leaf, then intermediates; no root.
    pub chain: Vec<Certificate>,
    /// The leaf's key.
    pub key: Key,
    /// The roots its holder is to believe.
    pub bundle: Bundle,
}

impl Plan {
    /// Decides names and dates. The certificate begins two minutes before `now` (for clocks
    /// that are behind) and ends `lifetime` after it, or with its signer (`signer_ends`).
    ///
    /// # Errors
    /// The reason, when the lifetime is nothing, too long for a date, or the signer's is over.
    pub fn new(
        profile: &Profile<'_>,
        lifetime: Duration,
        now: OffsetDateTime,
        signer_ends: Option<OffsetDateTime>,
    ) -> Result<Self, String> {
        let now = now.replace_nanosecond(0).unwrap_or(now);
        let wanted = time::Duration::try_from(lifetime)
            .ok()
            .and_then(|lifetime| now.checked_add(lifetime))
            .ok_or("the lifetime leads beyond the last date a certificate can have")?;
        if lifetime < Duration::from_secs(1) {
            return Err("the lifetime is shorter than a second".to_owned());
        }
        let not_after = signer_ends.map_or(wanted, |end| wanted.min(end));
        if not_after <= now {
            return Err("the signer has expired: renew it first".to_owned());
        }
        let ca = |path_len| Kind::Ca { path_len };
        let (name, uri, kind) = match profile {
            Profile::Root(name) => (Some((name, "root")), None, ca(None)),
            Profile::Issuer(name) => (Some((name, "issuer")), None, ca(None)),
            Profile::Intermediate(name) => (Some((name, "intermediate")), None, ca(Some(0))),
            Profile::Leaf(identity) => (None, Some(identity.to_string()), Kind::Leaf),
        };
        Ok(Self {
            organization: name.map(|(name, _)| name.mesh.to_owned()),
            common_name: name.map(|(name, place)| name.common_name(place)),
            uri,
            not_before: now - SKEW,
            not_after,
            kind,
        })
    }

    /// The last moment of the certificate.
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    fn params(&self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(organization) = &self.organization {
            let name = &mut params.distinguished_name;
            name.push(DnType::OrganizationName, organization.as_str());
        }
        if let Some(common_name) = &self.common_name {
            let name = &mut params.distinguished_name;
            name.push(DnType::CommonName, common_name.as_str());
        }
        if let Some(uri) = &self.uri {
            params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into()?)];
        }
        params.not_before = self.not_before;
        params.not_after = self.not_after;
        params.serial_number = Some(random_serial());
        params.use_authority_key_identifier_extension = true;
        match self.kind {
            Kind::Leaf => {
                params.is_ca = IsCa::ExplicitNoCa;
                params.key_usages = vec![
                    KeyUsagePurpose::DigitalSignature,
                    KeyUsagePurpose::KeyEncipherment,
                ];
                params.extended_key_usages = vec![
                    ExtendedKeyUsagePurpose::ServerAuth,
                    ExtendedKeyUsagePurpose::ClientAuth,
                ];
            }
            Kind::Ca { path_len } => {
                let limit = path_len.map(BasicConstraints::Constrained);
                params.is_ca = IsCa::Ca(limit.unwrap_or(BasicConstraints::Unconstrained));
                params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            }
        }
        Ok(params)
    }
}

impl CaName<'_> {
    fn common_name(&self, place: &str) -> String {
        let Self {
            mesh, generation, ..
        } = self;
        match self.cluster {
            Some(cluster) => format!("{mesh} {cluster} {place} g{generation}"),
            None => format!("{mesh} {place} g{generation}"),
        }
    }
}

impl Leaf {
    /// The leaf as its holder will use it. This verifies the whole of it.
    ///
    /// # Errors
    /// As [`WorkloadCredential::new`].
    pub fn credential(&self, now: OffsetDateTime) -> Result<WorkloadCredential, Error> {
        let (chain, key) = (self.chain.clone(), self.key.to_der());
        WorkloadCredential::new(chain, key, self.bundle.clone(), now, "the issued leaf")
    }

    /// The chain as one PEM text.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(Certificate::to_pem).collect()
    }
}

/// Makes the certificate of a plan under its own key: a root.
pub(crate) fn self_sign(plan: &Plan, key: &Key) -> Result<Certificate, String> {
    let made = plan
        .params()
        .and_then(|params| params.self_signed(key.pair()))
        .map_err(|error| error.to_string())?;
    Certificate::from_der(made.der()).map_err(|refusal| refusal.to_string())
}

/// Makes the certificate of a plan for a public key, under the key of `signer`.
pub(crate) fn sign(
    plan: &Plan,
    public_key: &impl PublicKeyData,
    signer: &Certificate,
    signer_key: &Key,
) -> Result<Certificate, String> {
    let made = Issuer::from_ca_cert_der(signer.der(), signer_key.pair())
        .and_then(|issuer| plan.params()?.signed_by(public_key, &issuer))
        .map_err(|error| error.to_string())?;
    let made = Certificate::from_der(made.der()).map_err(|refusal| refusal.to_string())?;
    if !signer.may_have_issued(&made) || !made.is_signed_by(signer) {
        return Err(
            "its name or key identifier cannot be repeated in what it signs: use a CA with a plain subject"
                .to_owned(),
        );
    }
    Ok(made)
}

/// A positive random number of 127 bits.
fn random_serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::random();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// How far clocks may be behind ours.
const SKEW: time::Duration = time::Duration::minutes(2);

#[cfg(test)]
mod tests;
