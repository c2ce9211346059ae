//! Tokens of service accounts: signed, bound, and good until they end or what they are bound
//! to is gone.

use std::{fmt, time::SystemTime};

use anyhow::{Result, anyhow};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
        UnparsedPublicKey,
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::admit::uid;

/// The key that signs tokens.
pub(super) struct Tokens {
    key: EcdsaKeyPair,
    id: String,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    #[serde(rename = "aud")]
    pub(super) audiences: Vec<String>,
    #[serde(rename = "exp")]
    pub(super) ends: u64,
    #[serde(rename = "iat")]
    pub(super) made: u64,
    #[serde(rename = "iss")]
    pub(super) issuer: String,
    #[serde(rename = "jti")]
    pub(super) id: String,
    #[serde(rename = "kubernetes.io")]
    pub(super) about: About,
    #[serde(rename = "nbf")]
    pub(super) begins: u64,
    #[serde(rename = "sub")]
    pub(super) subject: String,
}

/// Whose token it is, and what it is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) namespace: String,
    #[serde(rename = "serviceaccount")]
    pub(super) account: Named,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<Named>,
}

/// An object by name and UID.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) uid: String,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// A new key.
    pub(super) fn new() -> Result<Self> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let document = document.map_err(|_| anyhow!("no key for tokens"))?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref())?;
        let id = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(key.public_key().as_ref()));
        Ok(Self { key, id })
    }

    /// A token for `about`, good for `seconds`.
    pub(super) fn issue(
        &self,
        about: About,
        audiences: Vec<String>,
        seconds: u64,
    ) -> Result<(String, Claims)> {
        let now = seconds_now();
        let claims = Claims {
            audiences,
            ends: now + seconds,
            made: now,
            issuer: ISSUER.to_owned(),
            id: uid(),
            begins: now,
            subject: format!(
                "system:serviceaccount:{}:{}",
                about.namespace, about.account.name
            ),
            about,
        };
        let head = json!({ "alg": "ES256", "kid": self.id });
        let text = format!("{}.{}", coded(&head)?, coded(&claims)?);
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes());
        let signature = signature.map_err(|_| anyhow!("cannot sign"))?;
        let token = format!(
            "{text}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref())
        );
        Ok((token, claims))
    }

    /// What a token says, when it is ours and of this time.
    pub(super) fn read(&self, token: &str) -> Option<Claims> {
        let (text, signature) = token.rsplit_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        key.verify(text.as_bytes(), &signature).ok()?;
        let (_, claims) = text.split_once('.')?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        let now = seconds_now();
        (claims.begins <= now && now < claims.ends).then_some(claims)
    }
}

fn coded(part: &impl Serialize) -> Result<String> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(part)?))
}

fn seconds_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Who issues them, and whom they are for unless said otherwise.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc";

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            namespace: "a".to_owned(),
            account: Named {
                name: "x".to_owned(),
                uid: "u".to_owned(),
            },
            ..About::default()
        }
    }

    #[test]
    fn a_token_is_read_by_who_issued_it_and_by_nobody_else() {
        let tokens = Tokens::new().unwrap();
        let (token, claims) = tokens.issue(about(), vec![ISSUER.to_owned()], 600).unwrap();
        assert_eq!(tokens.read(&token), Some(claims.clone()));
        assert_eq!(claims.subject, "system:serviceaccount:a:x");
        assert_eq!(Tokens::new().unwrap().read(&token), None);
        let mut forged: Vec<&str> = token.split('.').collect();
        let other = Claims {
            ends: claims.ends + 1,
            ..claims
        };
        let other = coded(&other).unwrap();
        forged[1] = &other;
        assert_eq!(tokens.read(&forged.join(".")), None);
    }

    #[test]
    fn a_token_that_has_ended_is_none() {
        let tokens = Tokens::new().unwrap();
        let (token, _) = tokens.issue(about(), Vec::new(), 0).unwrap();
        assert_eq!(tokens.read(&token), None);
    }
}
