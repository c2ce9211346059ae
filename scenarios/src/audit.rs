//! The audit log of a real API server: who asked for what, and how it was answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    path::Path,
    time::SystemTime,
};

use anyhow::{Context, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::Deserialize;

use crate::load::micros;

/// A request, as the log has it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When it came, in microseconds since 1970.
    pub at: u64,
    /// `get`, `list`, `watch`, …
    pub verb: String,
    /// The resource in the plural.
    pub resource: String,
    /// What stood behind the question mark.
    pub query: BTreeMap<String, String>,
    /// The status code that it was answered with.
    pub code: u16,
    /// Which token it carried; none where that was not accepted.
    pub credential: Option<String>,
}

/// Requests in the order of their arrival.
#[derive(Debug, Clone)]
pub struct Audit(Vec<Asked>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "auditID")]
    id: String,
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    #[serde(default)]
    user: User,
    #[serde(rename = "sourceIPs", default)]
    sources: Vec<IpAddr>,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
    request_received_timestamp: MicroTime,
}

#[derive(Default, Deserialize)]
struct User {
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct ObjectRef {
    #[serde(default)]
    resource: String,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Audit {
    /// What the host at `source` asked for, whoever it said that it is: requests that were
    /// not let in have no user.
    ///
    /// # Errors
    /// When the log cannot be read, or is no audit log.
    pub fn of(log: &Path, source: IpAddr) -> Result<Self> {
        Self::parse(&fs::read_to_string(log)?, source)
    }

    fn parse(text: &str, source: IpAddr) -> Result<Self> {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut seen = BTreeSet::new();
        let mut asked = Vec::new();
        for line in whole.lines() {
            // A log of a server that was killed may have a line that is cut off.
            let Ok(line) = serde_json::from_str::<Line>(line) else {
                continue;
            };
            // A watch has a line for its begin and one for its end.
            if line.sources.contains(&source) && seen.insert(line.id.clone()) {
                asked.push(Asked::from(line));
            }
        }
        anyhow::ensure!(
            !seen.is_empty(),
            "no request from {source} in the audit log"
        );
        asked.sort_by_key(|asked: &Asked| asked.at);
        Ok(Self(asked))
    }

    /// Those since a moment.
    #[must_use]
    pub fn since(&self, moment: SystemTime) -> Self {
        let moment = micros(moment);
        Self(self.0.iter().filter(|a| a.at >= moment).cloned().collect())
    }

    /// Those before a moment.
    #[must_use]
    pub fn before(&self, moment: SystemTime) -> Self {
        let moment = micros(moment);
        Self(self.0.iter().filter(|a| a.at < moment).cloned().collect())
    }

    /// The requests.
    pub fn iter(&self) -> impl Iterator<Item = &Asked> {
        self.0.iter()
    }

    /// Requests for a whole state: lists, and watches that begin with one.
    #[must_use]
    pub fn lists(&self) -> Vec<&Asked> {
        let whole =
            |asked: &&Asked| asked.verb == "list" || asked.query.contains_key("sendInitialEvents");
        self.0.iter().filter(whole).collect()
    }

    /// The watches, of which each begins where another has ended.
    pub fn watches(&self) -> impl Iterator<Item = &Asked> {
        self.0.iter().filter(|asked| asked.verb == "watch")
    }

    /// Every token that was accepted.
    #[must_use]
    pub fn credentials(&self) -> BTreeSet<&str> {
        let credentials = self.0.iter();
        credentials
            .filter_map(|asked| asked.credential.as_deref())
            .collect()
    }
}

impl Asked {
    /// The version that a watch goes on from.
    ///
    /// # Errors
    /// When it names none.
    pub fn version(&self) -> Result<u64> {
        let version = self.query.get("resourceVersion");
        let version = version.with_context(|| format!("a watch from nowhere: {self:?}"))?;
        Ok(version.parse()?)
    }
}

impl From<Line> for Asked {
    fn from(line: Line) -> Self {
        let (path, query) = line.uri.split_once('?').unwrap_or((&line.uri, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        // Without a user the server does not say which resource it was.
        let named = line.object_ref.map(|object| object.resource);
        let last = path.rsplit('/').next().unwrap_or_default();
        Self {
            at: u64::try_from(line.request_received_timestamp.0.as_microsecond()).unwrap_or(0),
            verb: line.verb,
            resource: named.unwrap_or_else(|| last.to_owned()),
            query: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            code: line.response_status.and_then(|s| s.code).unwrap_or(0),
            credential: line
                .user
                .extra
                .get("authentication.kubernetes.io/credential-id")
                .and_then(|ids| ids.first().cloned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"auditID":"1","stage":"ResponseStarted","requestURI":"/api/v1/pods?resourceVersion=7&watch=1","verb":"watch","user":{"username":"u","extra":{"authentication.kubernetes.io/credential-id":["JTI=a"]}},"sourceIPs":["172.31.0.11"],"objectRef":{"resource":"pods"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-01T00:00:00.000002Z"}
{"auditID":"1","stage":"ResponseComplete","requestURI":"/api/v1/pods?resourceVersion=7&watch=1","verb":"watch","user":{"username":"u"},"sourceIPs":["172.31.0.11"],"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-01T00:00:00.000002Z"}
{"auditID":"2","stage":"ResponseStarted","requestURI":"/api/v1/nodes","verb":"list","user":{},"sourceIPs":["172.31.0.11"],"responseStatus":{"code":401},"requestReceivedTimestamp":"2026-01-01T00:00:00.000001Z"}
{"auditID":"3","stage":"ResponseComplete","requestURI":"/api/v1/nodes","verb":"list","user":{"username":"admin"},"sourceIPs":["172.31.0.2"],"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-01-01T00:00:00.000001Z"}
{"auditID":"4","stage":"#;

    #[test]
    fn each_request_of_the_host_counts_once_with_what_it_asked() {
        let audit = Audit::parse(LOG, "172.31.0.11".parse().unwrap()).unwrap();
        let brief: Vec<_> = audit
            .iter()
            .map(|asked| (asked.verb.as_str(), asked.resource.as_str(), asked.code))
            .collect();
        assert_eq!(brief, [("list", "nodes", 401), ("watch", "pods", 200)]);
        assert_eq!(audit.lists().len(), 1);
        assert_eq!(audit.watches().next().unwrap().version().unwrap(), 7);
        assert_eq!(audit.credentials(), BTreeSet::from(["JTI=a"]));
    }
}
