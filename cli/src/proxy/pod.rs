//! What Kubernetes' downward API writes into a pod: labels and annotations.

use std::{fs, io, path::Path};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// Reads a file of `key="value"` lines, the value quoted as Go quotes; none when there is no
/// such file.
///
/// # Errors
/// When the file can't be read, or a line of it is none.
pub(super) fn read(file: &Path) -> Result<Map<String, Value>> {
    let place = || format!("{}, which the pod's downward API writes", file.display());
    match fs::read_to_string(file) {
        Ok(text) => parse(&text).with_context(place),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(error).with_context(place),
    }
}

fn parse(text: &str) -> Result<Map<String, Value>> {
    let line = |line: &str| {
        let (key, value) = line.split_once('=').with_context(|| format!("`{line}`"))?;
        // Go's quotes are JSON's, for what labels and annotations may hold.
        let value: String = serde_json::from_str(value).with_context(|| format!("`{line}`"))?;
        Ok((key.to_owned(), Value::String(value)))
    };
    text.lines()
        .filter(|text| !text.is_empty())
        .map(line)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_taken_off_and_a_missing_file_is_no_label() {
        let labels = parse("app=\"a\"\nnote=\"a \\\"b\\\"=c\\n\"\n").unwrap();
        assert_eq!(labels["app"], "a");
        assert_eq!(labels["note"], "a \"b\"=c\n");
        assert!(parse("app").is_err());
        assert!(read(Path::new("/nowhere/labels")).unwrap().is_empty());
    }
}
