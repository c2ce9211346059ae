//! Kubeconfigs, as `istioctl create-remote-secret` and people write them.

use serde_json::{Value, json};

/// How to reach an API server, and as whom.
#[derive(Debug, Clone)]
pub struct Kubeconfig {
    /// The cluster's name; names the entries.
    pub cluster: String,
    /// `https://address:port`.
    pub server: String,
    /// The authority of the server's certificate, PEM in base64.
    pub authority: String,
    /// A bearer token.
    pub token: String,
}

impl Kubeconfig {
    /// One cluster, one user, one context, all of one name (istioctl's shape).
    #[must_use]
    pub fn value(&self) -> Value {
        let name = &self.cluster;
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": name,
                "cluster": {
                    "server": self.server,
                    "certificate-authority-data": self.authority,
                },
            }],
            "users": [{ "name": name, "user": { "token": self.token } }],
            "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
            "current-context": name,
            "preferences": {},
        })
    }

    /// The same as YAML.
    ///
    /// # Errors
    /// Never, in practice: the value is plain.
    pub fn yaml(&self) -> anyhow::Result<String> {
        Ok(serde_yaml_ng::to_string(&self.value())?)
    }
}
