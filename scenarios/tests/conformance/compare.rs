//! How two servers differ.

use std::{collections::BTreeSet, fmt};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::transcript::Transcript;

/// The differences between two transcripts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Comparison {
    steps: usize,
    musts: usize,
    /// Where they differ and must not.
    wrong: Vec<String>,
    /// Where they differ and may: the step, and the paths in its answer.
    other: Vec<(String, Vec<String>)>,
}

impl Comparison {
    /// Compares what two servers told.
    pub(crate) fn of(left: &Transcript, right: &Transcript) -> Self {
        let mut found = Self {
            steps: left.steps.len(),
            musts: left.steps.iter().filter(|step| step.must).count(),
            ..Self::default()
        };
        let titles = |transcript: &Transcript| {
            transcript
                .steps
                .iter()
                .map(|step| step.title.clone())
                .collect::<Vec<_>>()
        };
        if titles(left) != titles(right) {
            let (left, right) = (titles(left), titles(right));
            found
                .wrong
                .push(format!("other questions: {left:#?} {right:#?}"));
            return found;
        }
        for (left, right) in left.steps.iter().zip(&right.steps) {
            let differences = differences(&left.told, &right.told);
            if differences.is_empty() {
                continue;
            }
            if left.must {
                found.wrong.push(format!(
                    "{}:\n    {}",
                    left.title,
                    differences.join("\n    ")
                ));
            } else {
                found.other.push((left.title.clone(), differences));
            }
        }
        found
    }

    /// Fails where there must be no difference, and shows those that may be.
    pub(crate) fn judge(&self, left: &str, right: &str) -> Result<()> {
        for (step, differences) in &self.other {
            println!("    differs: {step}: {}", differences.join("; "));
        }
        if !self.wrong.is_empty() {
            bail!("- {left}, + {right}\n  {}", self.wrong.join("\n  "));
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.musts += other.musts;
        self.wrong.extend(other.wrong.iter().cloned());
        self.other.extend(other.other.iter().cloned());
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: usize = self
            .other
            .iter()
            .map(|(_, differences)| differences.len())
            .sum();
        write!(
            f,
            "{} answers, {} must be alike: {} are not; of {} others {} differ, in {values} values",
            self.steps,
            self.musts,
            self.wrong.len(),
            self.steps - self.musts,
            self.other.len(),
        )
    }
}

/// The paths at which two values differ, with both.
fn differences(left: &Value, right: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(left, right, String::new(), &mut found);
    found
}

fn walk(left: &Value, right: &Value, path: String, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let (a, b) = (a.get(name), b.get(name));
                let path = format!("{path}.{name}");
                match (a, b) {
                    (Some(a), Some(b)) => walk(a, b, path, found),
                    (Some(a), None) => found.push(format!("{path}: - {a}")),
                    (None, Some(b)) => found.push(format!("{path}: + {b}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                walk(a, b, format!("{path}[{at}]"), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: - {a} + {b}")),
    }
}
