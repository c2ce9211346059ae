//! A role's configuration file: read, parsed, or refused with a name for what is wrong.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

/// Reads YAML into `T`.
///
/// # Errors
/// When the file can't be read, or a field is unknown, missing or malformed: the message
/// names the file, the field and the line.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading the configuration {}", path.display()))?;
    serde_yaml_ng::from_str(&text)
        .with_context(|| format!("the configuration {} is not valid", path.display()))
}

/// Turns the problems that a role found in its configuration into one error that lists all.
///
/// # Errors
/// When there is any.
pub(crate) fn accept<T, P: std::fmt::Display>(
    path: &Path,
    checked: Result<T, Vec<P>>,
) -> Result<T> {
    match checked {
        Ok(valid) => Ok(valid),
        Err(problems) => {
            let list: String = problems.iter().map(|p| format!("\n  - {p}")).collect();
            bail!("the configuration {} is not valid:{list}", path.display())
        }
    }
}
