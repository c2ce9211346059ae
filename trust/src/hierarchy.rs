//! Certificate authorities, each below another: root → \[issuer\] → intermediate → leaf.
//!
//! A [`Ca`] is whole from its first moment: its key fits, its chain leads to its bundle. A key
//! is made where it will be used; to the CA above goes only a [`Request`].

mod grant;

use std::{fmt, time::Duration};

use rcgen::PublicKeyData;
use time::OffsetDateTime;

use crate::{
    bundle::Bundle,
    certificate::{
        Certificate,
        chain::{self, Purpose},
    },
    error::Error,
    identity::SpiffeId,
    issue::{self, CaName, Leaf, Plan, Profile},
    key::Key,
    request::{Request, Subject},
};

pub use grant::Grant;

/// A certificate authority with its key.
pub struct Ca {
    certificate: Certificate,
    key: Key,
    /// What follows the CA's own certificate on the way to a root; no root.
    above: Vec<Certificate>,
    bundle: Bundle,
    ends: OffsetDateTime,
}

/// A place below a CA where another CA can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier<'a> {
    /// The mesh issuer.
    Issuer,
    /// The intermediate of this cluster.
    Intermediate(&'a str),
}

/// Makes a root: a new key, and a certificate that it signs itself.
///
/// # Errors
/// [`Error::Sign`] when the lifetime is impossible.
pub fn create_root(
    mesh: &str,
    generation: u32,
    lifetime: Duration,
    now: OffsetDateTime,
) -> Result<Ca, Error> {
    let name = CaName {
        mesh,
        cluster: None,
        generation,
    };
    let key = Key::generate()?;
    let certificate = Plan::new(&Profile::Root(name), lifetime, now, None)
        .and_then(|plan| issue::self_sign(&plan, &key))
        .map_err(|why| Error::Sign {
            signer: mesh.to_owned(),
            what: "its own root certificate".to_owned(),
            why,
        })?;
    let bundle = Bundle::new([certificate.clone()], "the new root")?;
    Ca::new(certificate, key, Vec::new(), bundle, now, "the new root")
}

impl Ca {
    /// Puts a CA together and verifies it as of `now`; `place` names it in errors. `chain` is
    /// what `cert-chain.pem` holds: the CA itself and roots in it are left out.
    ///
    /// # Errors
    /// [`Error::Refused`] when the chain does not lead to the bundle, [`Error::Content`] when
    /// the certificate is not that of a CA or the key is another's.
    pub fn new(
        certificate: Certificate,
        key: Key,
        chain: Vec<Certificate>,
        bundle: Bundle,
        now: OffsetDateTime,
        place: &str,
    ) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Content {
            place: place.to_owned(),
            what: format!("{} {what}", certificate.label()),
            next: "make the directory anew with `isthmus trust init` or `isthmus trust intermediate`",
        };
        if !certificate.is_ca() || !certificate.signs_certificates() {
            return Err(wrong("is not the certificate of a CA"));
        }
        if !certificate.has_public_key(&key.public()) {
            return Err(wrong("belongs to another key than the one beside it"));
        }
        let is_root = |c: &Certificate| c.is_self_issued() && bundle.contains(c);
        let above: Vec<_> = chain
            .into_iter()
            .filter(|c| *c != certificate && !is_root(c))
            .collect();
        let way = way(&certificate, &above, &bundle, now, place)?;
        let ends = way.iter().map(Certificate::not_after).min();
        Ok(Self {
            ends: ends.unwrap_or(certificate.not_after()),
            certificate,
            key,
            above,
            bundle,
        })
    }

    /// Its own certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The roots that it and everybody below it believe.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// When it, or a CA above it, expires.
    #[must_use]
    pub fn ends(&self) -> OffsetDateTime {
        self.ends
    }

    /// What follows a certificate that it signed: itself and the CAs above it, no root.
    pub fn chain(&self) -> impl Iterator<Item = &Certificate> {
        let is_root = self.certificate.is_self_issued() && self.bundle.contains(&self.certificate);
        let own = (!is_root).then_some(&self.certificate);
        own.into_iter().chain(&self.above)
    }

    /// Signs a request for a CA below this one.
    ///
    /// # Errors
    /// [`Error::Sign`] when this CA has no CA to give below it, has expired, or cannot sign.
    pub fn grant(
        &self,
        request: &Request,
        tier: Tier<'_>,
        generation: u32,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> Result<Grant, Error> {
        let (name, needed) = (self.name_below(tier, generation), tier.depth());
        let refused = |why: &str| self.cannot(&tier.to_string(), why);
        if self
            .certificate
            .path_len()
            .is_some_and(|limit| limit < needed)
        {
            return Err(refused(
                "its basic constraints allow no such CA below it (pathlen): use the root or the issuer",
            ));
        }
        let profile = match tier {
            Tier::Issuer => Profile::Issuer(name),
            Tier::Intermediate(_) => Profile::Intermediate(name),
        };
        let made = self.sign(&profile, request.public_key(), lifetime, now)?;
        let above: Vec<_> = self.chain().cloned().collect();
        way(&made, &above, &self.bundle, now, "the signed certificate")?;
        Ok(Grant::new(made, above, self.bundle.clone()))
    }

    /// Makes a CA below this one, here: a key, a request for it, and its certificate.
    ///
    /// # Errors
    /// As [`Ca::grant`].
    pub fn create_below(
        &self,
        tier: Tier<'_>,
        generation: u32,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let key = Key::generate()?;
        let request = Request::new(&key, Subject::Ca(&tier.to_string()))?;
        let grant = self.grant(&request, tier, generation, lifetime, now)?;
        grant.accept(key, now, "the new CA")
    }

    /// Signs a workload's request: the leaf, then what follows it.
    ///
    /// # Errors
    /// [`Error::Sign`] when this CA has expired or cannot sign.
    pub fn sign_leaf(
        &self,
        request: &Request,
        identity: &SpiffeId,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Certificate>, Error> {
        let leaf = self.sign(
            &Profile::Leaf(identity),
            request.public_key(),
            lifetime,
            now,
        )?;
        Ok([leaf].into_iter().chain(self.chain().cloned()).collect())
    }

    /// Makes a key and a leaf for a workload, here.
    ///
    /// # Errors
    /// As [`Ca::sign_leaf`].
    pub fn issue(
        &self,
        identity: &SpiffeId,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> Result<Leaf, Error> {
        let key = Key::generate()?;
        let leaf = self.sign(&Profile::Leaf(identity), key.pair(), lifetime, now)?;
        Ok(Leaf {
            chain: [leaf].into_iter().chain(self.chain().cloned()).collect(),
            key,
            bundle: self.bundle.clone(),
        })
    }

    fn sign(
        &self,
        profile: &Profile<'_>,
        public_key: &impl PublicKeyData,
        lifetime: Duration,
        now: OffsetDateTime,
    ) -> Result<Certificate, Error> {
        Plan::new(profile, lifetime, now, Some(self.ends))
            .and_then(|plan| issue::sign(&plan, public_key, &self.certificate, &self.key))
            .map_err(|why| match profile {
                Profile::Leaf(identity) => self.cannot(&format!("`{identity}`"), &why),
                _ => self.cannot("a CA below it", &why),
            })
    }

    fn name_below<'a>(&'a self, tier: Tier<'a>, generation: u32) -> CaName<'a> {
        CaName {
            mesh: self.certificate.organization().unwrap_or("mesh"),
            cluster: match tier {
                Tier::Issuer => None,
                Tier::Intermediate(cluster) => Some(cluster),
            },
            generation,
        }
    }

    fn cannot(&self, what: &str, why: &str) -> Error {
        Error::Sign {
            signer: self.certificate.subject().to_owned(),
            what: what.to_owned(),
            why: why.to_owned(),
        }
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca")
            .field("certificate", &self.certificate)
            .field("bundle", &self.bundle)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Tier<'_> {
    /// How many tiers of CAs a signer must allow below it, this one included.
    fn depth(self) -> u32 {
        match self {
            Self::Issuer => 2,
            Self::Intermediate(_) => 1,
        }
    }
}

impl fmt::Display for Tier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer => f.write_str("the mesh issuer"),
            Self::Intermediate(cluster) => write!(f, "the intermediate of cluster {cluster}"),
        }
    }
}

/// The verified way from a CA to its root.
fn way(
    certificate: &Certificate,
    above: &[Certificate],
    bundle: &Bundle,
    now: OffsetDateTime,
    place: &str,
) -> Result<Vec<Certificate>, Error> {
    let chain: Vec<_> = [certificate]
        .into_iter()
        .chain(above)
        .map(|certificate| certificate.der().clone())
        .collect();
    chain::verify(&chain, bundle, Purpose::Authority, now).map_err(|refusal| Error::Refused {
        place: place.to_owned(),
        refusal,
    })
}

#[cfg(test)]
mod tests;
