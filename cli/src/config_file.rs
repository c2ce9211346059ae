//! A role's configuration file: read, parsed, or refused with a name for what is wrong.

use std::{fmt::Display, path::PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

/// The file that a role is told of.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigFile {
    /// The configuration, in YAML.
    #[arg(long = "config", value_name = "FILE")]
    path: PathBuf,
}

impl ConfigFile {
    /// Reads the file as `Raw` and checks it.
    ///
    /// # Errors
    /// When the file can't be read, when a field is unknown, missing or malformed (the
    /// message names it and its line), or with all problems that the check found.
    pub(crate) fn read<Raw, Valid, Problem>(
        &self,
        validate: impl FnOnce(Raw) -> Result<Valid, Vec<Problem>>,
    ) -> Result<Valid>
    where
        Raw: DeserializeOwned,
        Problem: Display,
    {
        let path = self.path.display();
        let text = std::fs::read_to_string(&self.path)
            .with_context(|| format!("reading the configuration {path}"))?;
        let raw = serde_yaml_ng::from_str(&text)
            .with_context(|| format!("the configuration {path} is not valid"))?;
        match validate(raw) {
            Ok(valid) => Ok(valid),
            Err(problems) => {
                let list: String = problems.iter().map(|p| format!("\n  - {p}")).collect();
                bail!("the configuration {path} is not valid:{list}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        workers: u32,
    }

    fn read(text: &str) -> Result<u32, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("role.yaml");
        fs::write(&path, text).unwrap();
        let checked = |raw: Raw| match raw.workers {
            0 => Err(vec!["workers: at least 1", "workers: or leave it out"]),
            workers => Ok(workers),
        };
        let file = ConfigFile { path };
        file.read(checked).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn what_is_valid_is_read() {
        assert_eq!(read("workers: 2"), Ok(2));
    }

    #[test]
    fn all_problems_are_listed_with_the_file() {
        let error = read("workers: 0").unwrap_err();
        assert!(
            error.contains("role.yaml is not valid:\n  - workers: at least 1"),
            "{error}"
        );
        assert!(error.contains("\n  - workers: or leave it out"), "{error}");
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = read("worker: 2").unwrap_err();
        assert!(error.contains("unknown field `worker`"), "{error}");
    }
}
