//! Where the next page of a list begins.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::status::Status;

/// The place of a next page: opaque for readers, and of Kubernetes' own form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continue {
    #[serde(rename = "v")]
    form: String,
    /// The version of the first page; 0 for "whatever it is now".
    #[serde(rename = "rv")]
    pub(super) version: i64,
    /// The key from which on.
    pub(super) start: String,
}

impl Continue {
    /// Reads a token.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn parse(token: &str) -> Result<Self, Status> {
        let wrong = || Status::bad_request("continue key is not valid");
        let text = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let found: Self = serde_json::from_slice(&text).map_err(|_| wrong())?;
        match found.form == FORM {
            true => Ok(found),
            false => Err(wrong()),
        }
    }

    /// The place behind a key.
    pub(super) fn after(key: &str, version: i64) -> Self {
        Self {
            form: FORM.to_owned(),
            version,
            start: format!("{key}\0"),
        }
    }

    /// The same place in whatever the objects are now.
    pub(super) fn onward(&self) -> Self {
        Self {
            version: -1,
            ..self.clone()
        }
    }

    /// The token that says so.
    pub(super) fn token(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_string(self).unwrap_or_default())
    }
}

const FORM: &str = "meta.k8s.io/v1";
