//! What became of a TLS connection that was dialled by hand.

use serde::{Deserialize, Serialize};

/// What `world-app tls-dial` says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Dialled {
    /// The SPIFFE id that answered.
    pub identity: Option<String>,
    /// The status line of the HTTP answer.
    pub status: Option<String>,
    /// Its body.
    pub body: Option<String>,
    /// How far it came when it failed: `connect`, `handshake`, `answer`.
    pub stage: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Dialled {
    /// A failure.
    #[must_use]
    pub fn failed(stage: &str, reason: String) -> Self {
        Self {
            stage: Some(stage.to_owned()),
            reason: Some(reason),
            ..Self::default()
        }
    }
}
