//! The trust of a mesh, by what `isthmus trust` is for: one root for all, an intermediate for
//! each cluster.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::topology::ClusterPlan;

/// Makes the root in `home/root`, and of each cluster the intermediate in `home/<cluster>/ca`.
///
/// # Errors
/// When a command fails, with what it said.
pub fn share<'a>(
    isthmus: &Path,
    home: &Path,
    plans: impl Iterator<Item = &'a ClusterPlan>,
) -> Result<()> {
    fs::create_dir_all(home)?;
    let root = home.join("root").display().to_string();
    let mut plans = plans.peekable();
    let domain = &plans
        .peek()
        .context("a mesh without clusters")?
        .trust_domain;
    let init = ["trust", "init", "--out", &root, "--trust-domain", domain];
    run(isthmus, &init)?;
    for plan in plans {
        let out = home.join(&plan.name).join("ca").display().to_string();
        let what = ["trust", "intermediate", "--out", &out];
        let whose = ["--ca", &root, "--cluster", &plan.name];
        run(isthmus, &[&what[..], &whose].concat())?;
    }
    Ok(())
}

/// Runs our own command to its end, and returns what it says.
///
/// # Errors
/// When it fails, with what it said.
pub fn run(isthmus: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(isthmus).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {}", isthmus.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = arguments.join(" ");
    ensure!(output.status.success(), "isthmus {line}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
