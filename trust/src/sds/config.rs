//! What a user writes, and what may be relied upon after it was checked.

use std::{collections::HashMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::identity::SpiffeId;

/// The configuration as it is written (see `trust/examples/sds.yaml`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The CA that signs: a directory in Istio's `cacerts` layout.
    pub authority: PathBuf,
    /// How long a leaf is valid.
    #[serde(default = "one_day", deserialize_with = "duration")]
    pub lifetime: Duration,
    /// Who gets leaves.
    pub workloads: Vec<Workload>,
}

/// One workload and the places where it finds its leaf; one of them at least.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Who it is.
    pub identity: SpiffeId,
    /// The unix socket on which it is served.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// The leaf directory that is kept fresh for it.
    #[serde(default)]
    pub directory: Option<PathBuf>,
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as `workloads[2].socket`.
    pub path: String,
    /// What, and what would be right.
    pub what: String,
}

/// A configuration without problems.
#[derive(Debug, Clone)]
pub struct Validated {
    pub(super) authority: PathBuf,
    pub(super) lifetime: Duration,
    pub(super) workloads: Vec<Arc<Workload>>,
}

impl Config {
    /// Checks everything that can be checked without the machine.
    ///
    /// # Errors
    /// All problems, in the order of the file.
    pub fn validate(self) -> Result<Validated, Vec<Problem>> {
        let mut problems = Problems::default();
        if !(SHORTEST..=LONGEST).contains(&self.lifetime) {
            problems.add("lifetime", "must be 10s at least and 90d at most");
        }
        if self.workloads.is_empty() {
            problems.add("workloads", "is empty: name at least one workload");
        }
        let mut taken = HashMap::new();
        taken.insert(self.authority.clone(), "authority".to_owned());
        for (i, workload) in self.workloads.iter().enumerate() {
            workload.check(&format!("workloads[{i}]"), &mut taken, &mut problems);
        }
        if !problems.0.is_empty() {
            return Err(problems.0);
        }
        Ok(Validated {
            authority: self.authority,
            lifetime: self.lifetime,
            workloads: self.workloads.into_iter().map(Arc::new).collect(),
        })
    }
}

impl Workload {
    fn check(&self, at: &str, taken: &mut HashMap<PathBuf, String>, problems: &mut Problems) {
        if self.socket.is_none() && self.directory.is_none() {
            problems.add(at, "has neither socket nor directory: give it one of them");
        }
        let places = [("socket", &self.socket), ("directory", &self.directory)];
        for (key, place) in places {
            let Some(place) = place else { continue };
            let here = format!("{at}.{key}");
            if place.parent().is_none() || place.as_os_str().is_empty() {
                problems.add(&here, "is no path of a file or directory");
            }
            if key == "socket" && place.as_os_str().len() > MAX_SOCKET_PATH {
                problems.add(
                    &here,
                    "is longer than the 107 bytes that a socket's path can have",
                );
            }
            if let Some(other) = taken.insert(place.clone(), here.clone()) {
                problems.add(&here, &format!("is the same path as {other}"));
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: &str, what: &str) {
        self.0.push(Problem {
            path: path.to_owned(),
            what: what.to_owned(),
        });
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|error| D::Error::custom(format!("`{text}` is no duration such as 24h: {error}")))
}

fn one_day() -> Duration {
    Duration::from_secs(24 * 3600)
}

const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(90 * 24 * 3600);

/// `sun_path` of `unix(7)`, less its closing zero.
const MAX_SOCKET_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Config {
        serde_yaml_ng::from_str(yaml).unwrap()
    }

    #[test]
    fn the_example_is_valid() {
        let config = parse(include_str!("../../examples/sds.yaml"));
        assert_eq!(config.lifetime, one_day());
        assert_eq!(config.workloads.len(), 2);
        config.validate().unwrap();
    }

    #[test]
    fn all_problems_are_told_at_once_each_with_its_path() {
        let id = "identity: spiffe://td/ns/a/sa/b";
        let config = parse(&format!(
            "authority: /ca\nlifetime: 1s\nworkloads:\n\
             - {{{id}}}\n\
             - {{{id}, socket: /{}}}\n\
             - {{{id}, socket: /s, directory: /ca}}\n\
             - {{{id}, socket: /s}}\n",
            "x".repeat(107)
        ));
        let problems = config.validate().unwrap_err();
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "lifetime",
                "workloads[0]",
                "workloads[1].socket",
                "workloads[2].directory",
                "workloads[3].socket"
            ]
        );
        assert!(problems[4].to_string().contains("workloads[2].socket"));
    }

    #[test]
    fn a_misspelt_key_and_a_bad_duration_are_refused() {
        for yaml in [
            "authority: /ca\nworkloads: []\nlifetimes: 1h",
            "authority: /ca\nworkloads: []\nlifetime: 24",
            "authority: /ca\nworkloads: [{identity: client, socket: /s}]",
        ] {
            assert!(serde_yaml_ng::from_str::<Config>(yaml).is_err(), "{yaml}");
        }
    }
}
