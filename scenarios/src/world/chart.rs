//! Helm charts, as objects.

use std::{path::Path, process::Stdio};

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

/// A chart to render.
#[derive(Debug)]
pub struct Chart<'a> {
    /// The program.
    pub helm: &'a Path,
    /// The chart's directory.
    pub path: &'a Path,
    /// The name of the release.
    pub release: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// What differs from the chart's own values.
    pub values: Value,
}

impl Chart<'_> {
    /// What `helm install` would create; helm's own files go to `directory`.
    ///
    /// # Errors
    /// When helm refuses.
    pub async fn render(&self, directory: &Path) -> Result<Vec<Value>> {
        let values = directory.join(format!("{}-values.json", self.release));
        std::fs::write(&values, serde_json::to_vec_pretty(&self.values)?)?;
        let mut command = Command::new(self.helm);
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(home, directory);
        }
        let output = command
            .args(["template", self.release])
            .arg(self.path)
            .args(["--namespace", self.namespace, "--values"])
            .arg(&values)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("helm template {}: {}", self.release, said.trim());
        }
        documents(&String::from_utf8(output.stdout)?)
    }
}

/// The documents of a YAML file, without those that are empty.
///
/// # Errors
/// When it is no YAML.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    let all = serde_yaml_ng::Deserializer::from_str(text);
    let all = all.map(Value::deserialize).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().filter(|one| !one.is_null()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_documents_are_none() {
        let text = "# a comment\n---\na: 1\n---\n---\n# another\n---\nb: x\n";
        let all = documents(text).unwrap();
        assert_eq!(
            all,
            [
                serde_json::json!({ "a": 1 }),
                serde_json::json!({ "b": "x" })
            ]
        );
    }
}
