use std::{fmt, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;

use super::follow;
use crate::store::WorkloadCredential;

/// The credential that handshakes use now. Clones share it; what is replaced in one is
/// replaced in all, for handshakes that begin afterwards.
#[derive(Clone)]
pub struct LiveCredential {
    current: Arc<ArcSwap<WorkloadCredential>>,
}

impl LiveCredential {
    /// Begins with this credential.
    #[must_use]
    pub fn new(credential: WorkloadCredential) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(credential)),
        }
    }

    /// Handshakes that begin from now on use this credential.
    pub fn replace(&self, credential: WorkloadCredential) {
        self.current.store(Arc::new(credential));
    }

    /// What handshakes use now.
    #[must_use]
    pub fn current(&self) -> Arc<WorkloadCredential> {
        self.current.load_full()
    }

    /// Keeps up with a leaf directory until cancelled: reads it again when its content changes,
    /// logs, and keeps what it has when the new content is no good.
    pub async fn follow(&self, dir: PathBuf, cancel: CancellationToken) {
        follow::follow(self, dir, cancel).await;
    }
}

impl ResolvesServerCert for LiveCredential {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.current.load().certified()))
    }
}

impl ResolvesClientCert for LiveCredential {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.current.load().certified()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for LiveCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LiveCredential")
            .field(&*self.current.load())
            .finish()
    }
}
