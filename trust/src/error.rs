//! What can go wrong, on whose side, and whether trying again can help.

use std::{io, path::PathBuf};

use crate::certificate::refusal::Refusal;

/// Every failure of this crate. A message names the file or the party and the next step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be read.
    #[error("{}: cannot be read: {source}; {next}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// What to do about it.
        next: &'static str,
    },
    /// Something was read and is not what it has to be.
    #[error("{place}: {what}; {next}")]
    Content {
        /// A path, or what else the bytes came from.
        place: String,
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        next: &'static str,
    },
    /// A certificate chain is not trusted.
    #[error("{place}: {refusal}")]
    Refused {
        /// A path, or who presented the chain.
        place: String,
        /// Why not.
        refusal: Refusal,
    },
    /// A file, directory or socket could not be written.
    #[error("{}: cannot be written: {source}; {next}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// What to do about it.
        next: &'static str,
    },
    /// Something is there already and is not overwritten.
    #[error("{}: {what}; {next}", path.display())]
    Occupied {
        /// Where.
        path: PathBuf,
        /// What is there.
        what: &'static str,
        /// What to do about it.
        next: &'static str,
    },
    /// A signer may not, or cannot, sign what was asked.
    #[error("`{signer}` cannot sign {what}: {why}")]
    Sign {
        /// The name of the signing certificate.
        signer: String,
        /// What was to be signed.
        what: String,
        /// The obstacle, and the way around it.
        why: String,
    },
    /// The TLS library refused a key or a setting.
    #[error("{place}: {source}")]
    Tls {
        /// What was being set up.
        place: String,
        /// The library's own words.
        source: rustls::Error,
    },
    /// A server of ours ended although nobody asked it to.
    #[error("{place}: ended unexpectedly: {why}; restart it and report this with its log")]
    Ended {
        /// Which.
        place: String,
        /// Its last words.
        why: String,
    },
}

/// On whose side the cause of an [`Error`] lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The party that presented certificates.
    Peer,
    /// Files, sockets and settings of this machine.
    Machine,
    /// The authority that was asked to sign.
    Authority,
    /// A defect of ours.
    Internal,
}

impl Error {
    /// On whose side the cause lies.
    #[must_use]
    pub fn side(&self) -> Side {
        match self {
            Self::Refused { .. } => Side::Peer,
            Self::Read { .. }
            | Self::Content { .. }
            | Self::Write { .. }
            | Self::Occupied { .. }
            | Self::Tls { .. } => Side::Machine,
            Self::Sign { .. } => Side::Authority,
            Self::Ended { .. } => Side::Internal,
        }
    }

    /// Whether the same attempt, made later, is harmless and may succeed.
    #[must_use]
    pub fn retry_is_safe(&self) -> bool {
        !matches!(self, Self::Occupied { .. } | Self::Ended { .. })
    }

    /// The refusal, where a certificate chain was refused.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}
