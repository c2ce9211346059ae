//! What a server said, question by question.

use std::fmt;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// All answers of one case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub(crate) steps: Vec<Step>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) title: String,
    /// Whether the answers must be alike.
    pub(crate) must: bool,
    pub(crate) told: Value,
}

impl Transcript {
    /// Reads what was written down.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut steps = Vec::new();
        for part in text
            .split("\n== ")
            .map(|part| part.trim_start_matches("== "))
        {
            let Some((head, body)) = part.split_once('\n') else {
                continue;
            };
            let (kind, title) = head.split_once(' ').context("a step without a title")?;
            let must = match kind {
                "must" => true,
                "may" => false,
                other => bail!("a step that neither must nor may: {other}"),
            };
            steps.push(Step {
                title: title.to_owned(),
                must,
                told: serde_json::from_str(body).with_context(|| title.to_owned())?,
            });
        }
        Ok(Self { steps })
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let kind = if step.must { "must" } else { "may" };
            writeln!(f, "== {kind} {}", step.title)?;
            writeln!(f, "{:#}", step.told)?;
        }
        Ok(())
    }
}
