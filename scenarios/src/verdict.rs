//! What a discovery answers to somebody who asks.

use serde::{Deserialize, Serialize};

/// What `world-app claim` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It was told of so many clusters.
    Told(usize),
    /// It is not served.
    Refused {
        /// The gRPC code, by name.
        code: String,
        /// Why.
        text: String,
    },
}
