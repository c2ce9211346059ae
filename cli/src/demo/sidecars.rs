//! What stands beside the demo's applications: what was asked for, else what is there.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use scenarios::{loopback::proxy::Kind, peers};

/// What may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Wish {
    /// An Envoy where one is there, else the built-in ones.
    Auto,
    /// Real Envoys.
    Envoy,
    /// Small ones, in this process.
    Builtin,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sidecars {
    pub(super) kind: Kind,
    /// Of Envoys, as they say it themselves.
    version: Option<String>,
}

impl Sidecars {
    /// Chooses; `envoy` is a path that was given. Nothing is built or fetched for it.
    ///
    /// # Errors
    /// When an Envoy was asked for, and there is none or it does not run.
    pub(super) fn choose(wish: Wish, envoy: Option<&Path>) -> Result<Self> {
        let found = || {
            peers::envoy_at_hand().context(
                "no Envoy is here: put one on PATH, name it by --envoy, or take --sidecars builtin",
            )
        };
        match (wish, envoy) {
            (Wish::Builtin, _) => Ok(Self::builtin()),
            (_, Some(path)) => Self::envoy(path.to_owned()),
            (Wish::Envoy, None) => Self::envoy(found()?),
            // One that does not run here is none.
            (Wish::Auto, None) => Ok(found().and_then(Self::envoy).unwrap_or(Self::builtin())),
        }
    }

    fn builtin() -> Self {
        Self {
            kind: Kind::Builtin,
            version: None,
        }
    }

    fn envoy(path: PathBuf) -> Result<Self> {
        let output = Command::new(&path).arg("--version").output();
        let output = output.with_context(|| format!("{} does not run", path.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version(&text);
        ensure!(
            output.status.success() && version.is_some(),
            "{} is no Envoy: {} {}",
            path.display(),
            text.trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(Self {
            kind: Kind::Envoy(path),
            version: version.map(str::to_owned),
        })
    }
}

impl fmt::Display for Sidecars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, &self.version) {
            (Kind::Builtin, _) => f.write_str("built-in (no Envoy was found or wanted)"),
            (Kind::Envoy(path), version) => {
                let version = version.as_deref().unwrap_or_default();
                write!(f, "Envoy {version} ({})", path.display())
            }
        }
    }
}

/// `1.40.0` of `/bin/envoy  version: 0123abc/1.40.0/Clean/RELEASE/BoringSSL`.
fn version(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("version: ")?;
    let version = rest.split('/').nth(1)?;
    version
        .starts_with(|first: char| first.is_ascii_digit())
        .then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envoy_says_its_version() {
        let text = "\n/bin/envoy  version: 0123abc/1.40.0/Clean/RELEASE/BoringSSL\n";
        assert_eq!(version(text), Some("1.40.0"));
        assert_eq!(version("true (GNU coreutils) 9.1"), None);
        assert_eq!(version("version: abc"), None);
    }

    #[test]
    fn what_was_named_is_taken_or_refused() {
        let choose = |wish, path| Sidecars::choose(wish, Some(Path::new(path)));
        for wish in [Wish::Auto, Wish::Envoy] {
            let said = choose(wish, "/bin/true").unwrap_err().to_string();
            assert!(said.starts_with("/bin/true is no Envoy"), "{said}");
            let said = choose(wish, "/no/envoy").unwrap_err().to_string();
            assert_eq!(said, "/no/envoy does not run");
        }
        assert_eq!(
            choose(Wish::Builtin, "/no/envoy").unwrap().kind,
            Kind::Builtin
        );
    }
}
