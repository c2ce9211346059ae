//! Requests that a client in a pod sends, and what became of each.

mod caller;

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{process::Process, world::pod::Pod};
pub use caller::Caller;

/// What became of one request: a line of `world-app load`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// When it was sent, in microseconds since 1970.
    pub sent: u64,
    /// When it was answered or given up.
    pub done: u64,
    /// Who answered, or why nobody did.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Who answered, or why nobody did.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// A pod, with the nonce of the request.
    By {
        /// The version that it calls itself.
        version: String,
        /// The pod.
        pod: String,
    },
    /// No good answer.
    Lost(String),
}

/// A client that sends one request after another until it is stopped.
#[derive(Debug)]
pub struct Load {
    process: Process,
}

/// What became of many requests.
#[derive(Debug, Clone)]
pub struct Answers(Vec<Answer>);

impl Load {
    /// Starts a client in `pod` that asks `host` at this pace, whatever the
    /// answers.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start(pod: &Pod, host: &str, every: Duration) -> Result<Self> {
        let every = every.as_millis().to_string();
        let door = pod.door(host)?.to_string();
        let arguments = ["load", "--host", host, "--door", &door];
        let process = pod.spawn(&[&arguments[..], &["--every-ms", &every]].concat())?;
        Ok(Self { process })
    }

    /// What became of the requests so far.
    ///
    /// # Errors
    /// When the client has ended, or says something else than answers.
    pub fn so_far(&mut self) -> Result<Answers> {
        self.process.check()?;
        self.read()
    }

    /// Stops the client; it waits for the answers that are still out.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn finish(mut self) -> Result<Answers> {
        let status = self.process.stop(FINISH_LIMIT).await?;
        anyhow::ensure!(status.success(), "the client ended with {status}");
        self.read()
    }

    fn read(&self) -> Result<Answers> {
        let text = fs::read_to_string(self.process.log())?;
        // A last line without its end is still being written.
        Answers::parse(text.rfind('\n').map_or("", |end| &text[..end]))
    }
}

impl FromIterator<Answer> for Answers {
    fn from_iter<I: IntoIterator<Item = Answer>>(answers: I) -> Self {
        Self(answers.into_iter().collect())
    }
}

impl Answers {
    /// What became of `count` requests that `pod` sends to `host`, so many at once.
    /// One at a time, a balancer that looks at load (Envoy's least request) sees
    /// only weights, and one connection carries all that goes to one address.
    ///
    /// # Errors
    /// When the client fails.
    pub async fn of_requests(pod: &Pod, host: &str, count: usize, at_once: usize) -> Result<Self> {
        let (count, at_once) = (count.to_string(), at_once.to_string());
        let door = pod.door(host)?.to_string();
        let arguments = [
            "load",
            "--host",
            host,
            "--door",
            &door,
            "--count",
            &count,
            "--at-once",
            &at_once,
        ];
        Self::parse(&pod.run(&arguments).await?)
    }

    /// From the client's lines.
    ///
    /// # Errors
    /// When one is something else.
    pub fn parse(text: &str) -> Result<Self> {
        text.lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("client: {line}")))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// How many requests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many were answered, by version.
    #[must_use]
    pub fn by_version(&self) -> BTreeMap<&str, u64> {
        self.count(|version, _| version)
    }

    /// How many were answered, by pod.
    #[must_use]
    pub fn by_pod(&self) -> BTreeMap<&str, u64> {
        self.count(|_, pod| pod)
    }

    /// The requests without a good answer.
    #[must_use]
    pub fn lost(&self) -> Vec<&Answer> {
        let lost = |answer: &&Answer| matches!(answer.outcome, Outcome::Lost(_));
        self.0.iter().filter(lost).collect()
    }

    /// Those sent after `moment`.
    #[must_use]
    pub fn after(&self, moment: SystemTime) -> Self {
        let moment = micros(moment);
        Self(
            self.0
                .iter()
                .filter(|answer| answer.sent > moment)
                .cloned()
                .collect(),
        )
    }

    /// Those sent from one moment to another.
    #[must_use]
    pub fn between(&self, begin: SystemTime, end: SystemTime) -> Self {
        let span = micros(begin)..micros(end);
        let sent = self.0.iter().filter(|answer| span.contains(&answer.sent));
        Self(sent.cloned().collect())
    }

    /// How long after `moment` `version` gave its last answer.
    #[must_use]
    pub fn last_of(&self, version: &str, moment: SystemTime) -> Option<Duration> {
        let last = self.answered_by(version).max()?;
        Some(Duration::from_micros(last.saturating_sub(micros(moment))))
    }

    /// How long after `moment` `version` gave its first answer.
    #[must_use]
    pub fn first_of(&self, version: &str, moment: SystemTime) -> Option<Duration> {
        let first = self.answered_by(version).min()?;
        Some(Duration::from_micros(first.saturating_sub(micros(moment))))
    }

    /// How long the slowest good answer took.
    #[must_use]
    pub fn slowest(&self) -> Duration {
        let took = self.0.iter().map(|answer| answer.done - answer.sent);
        Duration::from_micros(took.max().unwrap_or(0))
    }

    /// When `version` answered.
    fn answered_by(&self, version: &str) -> impl Iterator<Item = u64> {
        self.0
            .iter()
            .filter_map(move |answer| match &answer.outcome {
                Outcome::By { version: by, .. } if by == version => Some(answer.done),
                _ => None,
            })
    }

    fn count<'a>(&'a self, key: impl Fn(&'a str, &'a str) -> &'a str) -> BTreeMap<&'a str, u64> {
        let mut counts = BTreeMap::new();
        for answer in &self.0 {
            if let Outcome::By { version, pod } = &answer.outcome {
                *counts.entry(key(version, pod)).or_default() += 1;
            }
        }
        counts
    }
}

/// A moment in microseconds since 1970.
#[must_use]
pub fn micros(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

const FINISH_LIMIT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_tell_who_when_and_what_was_lost() {
        let lines = [
            r#"{"sent":1000,"done":1500,"by":{"version":"v1","pod":"a"}}"#,
            r#"{"sent":2000,"done":2300,"by":{"version":"v2","pod":"b"}}"#,
            r#"{"sent":3000,"done":3100,"lost":"503"}"#,
        ];
        let answers = Answers::parse(&lines.join("\n")).unwrap();
        let moment = UNIX_EPOCH + Duration::from_micros(500);
        assert_eq!(answers.by_version(), BTreeMap::from([("v1", 1), ("v2", 1)]));
        assert_eq!(
            answers.last_of("v1", moment),
            Some(Duration::from_micros(1000))
        );
        assert_eq!(answers.last_of("v3", moment), None);
        assert_eq!(answers.lost().len(), 1);
        assert_eq!(
            answers
                .after(UNIX_EPOCH + Duration::from_micros(2000))
                .len(),
            1
        );
        assert_eq!(answers.slowest(), Duration::from_micros(500));
    }
}
