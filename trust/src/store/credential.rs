//! What a workload shows to its peers, and whom it believes.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use time::OffsetDateTime;

use super::{CHAIN, LEAF_KEY, ROOTS, Snapshot};
use crate::{
    bundle::Bundle,
    certificate::{
        Certificate,
        chain::{self, Purpose},
    },
    error::Error,
    identity::SpiffeId,
    provider,
};

/// A leaf with its key, the chain above it and the roots its holder believes. The key fits the
/// leaf, and the chain leads to one of the roots; that it is still valid is not promised.
pub struct WorkloadCredential {
    /// The leaf, then intermediates; no root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The roots that peers are checked against.
    pub bundle: Bundle,
    leaf: Certificate,
    issuer: Certificate,
    identity: SpiffeId,
    certified: Arc<CertifiedKey>,
    issuer_anchor: Arc<RootCertStore>,
}

impl WorkloadCredential {
    /// Reads a leaf directory.
    ///
    /// An expired leaf is read without complaint: a gateway must start with it and go on
    /// serving what needs no certificate. Its peers will refuse it.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Content`] or [`Error::Refused`], with the file's name.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        Self::of(&Self::snapshot(dir)?, OffsetDateTime::now_utc())
    }

    pub(crate) fn snapshot(dir: &Path) -> Result<Snapshot, Error> {
        Snapshot::read(dir, &[CHAIN, LEAF_KEY, ROOTS], MAKE_ONE)
    }

    pub(crate) fn of(files: &Snapshot, now: OffsetDateTime) -> Result<Self, Error> {
        let chain = Certificate::all_from_pem(files.bytes(CHAIN), &files.place(CHAIN))?;
        let bundle = Bundle::from_pem(files.bytes(ROOTS), &files.place(ROOTS))?;
        let key = PrivateKeyDer::from_pem_slice(files.bytes(LEAF_KEY)).map_err(|_| {
            let what = "there is no private key in it (PEM, PKCS #8, SEC1 or PKCS #1)";
            files.wrong(LEAF_KEY, what.to_owned())
        })?;
        Self::new(chain, key, bundle, now, &files.place(CHAIN))
    }

    /// Puts a credential together and checks that its parts fit; `place` names it in errors.
    ///
    /// Roots at the end of `chain` (istio-agent writes them there) are left out. The chain is
    /// verified as of `now`, or the nearest moment at which the leaf is valid.
    ///
    /// # Errors
    /// [`Error::Refused`] when the chain does not lead to the bundle or its leaf has no
    /// identity, [`Error::Tls`] when the key is not that of the leaf.
    pub fn new(
        chain: Vec<Certificate>,
        key: PrivateKeyDer<'static>,
        bundle: Bundle,
        now: OffsetDateTime,
        place: &str,
    ) -> Result<Self, Error> {
        let refused = |refusal| Error::Refused {
            place: place.to_owned(),
            refusal,
        };
        let is_root = |c: &Certificate| c.is_self_issued() && bundle.contains(c);
        let ders: Vec<_> = chain
            .iter()
            .filter(|certificate| !is_root(certificate))
            .map(|certificate| certificate.der().clone())
            .collect();
        let now = chain.first().map_or(now, |leaf| nearest(leaf, now));
        let way = chain::verify(&ders, &bundle, Purpose::Server, now).map_err(refused)?;
        chain::verify(&ders, &bundle, Purpose::Client, now).map_err(refused)?;
        let mut way = way.into_iter();
        let (Some(leaf), Some(issuer)) = (way.next(), way.next()) else {
            return Err(refused(crate::certificate::Refusal::Empty));
        };
        let tls = |source| Error::Tls {
            place: place.to_owned(),
            source,
        };
        let certified = CertifiedKey::from_der(ders.clone(), key, &provider()).map_err(tls)?;
        let mut anchor = RootCertStore::empty();
        anchor.add(issuer.der().clone()).map_err(tls)?;
        Ok(Self {
            chain: ders,
            bundle,
            identity: leaf.identity().map_err(refused)?,
            leaf,
            issuer,
            certified: Arc::new(certified),
            issuer_anchor: Arc::new(anchor),
        })
    }

    /// Who its holder is.
    #[must_use]
    pub fn identity(&self) -> &SpiffeId {
        &self.identity
    }

    /// The leaf.
    #[must_use]
    pub fn leaf(&self) -> &Certificate {
        &self.leaf
    }

    /// The CA that signed the leaf.
    #[must_use]
    pub fn issuer(&self) -> &Certificate {
        &self.issuer
    }

    /// The last moment at which peers believe the leaf.
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        self.leaf.not_after()
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The issuer alone, as the one anchor of leaves that it signed itself.
    pub(crate) fn issuer_anchor(&self) -> &RootCertStore {
        &self.issuer_anchor
    }
}

impl fmt::Debug for WorkloadCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkloadCredential")
            .field("leaf", &self.leaf)
            .field("bundle", &self.bundle)
            .field("key", &"redacted")
            .finish_non_exhaustive()
    }
}

/// `now`, or the end of the leaf's life that is closer to it.
fn nearest(leaf: &Certificate, now: OffsetDateTime) -> OffsetDateTime {
    if leaf.not_before() > leaf.not_after() {
        return now;
    }
    now.clamp(leaf.not_before(), leaf.not_after())
}

const MAKE_ONE: &str =
    "make a leaf directory with `isthmus trust issue`, or let `isthmus trust sds` keep one there";
