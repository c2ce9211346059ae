//! How to look inside by hand: commands that work as they are printed.

use std::{fmt, path::Path};

use anyhow::{Context, Result};
use scenarios::demo::{
    Mesh,
    mesh::{FAR, NEAR},
};
use serde::Serialize;

/// A command, and what it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Look {
    command: String,
    shows: &'static str,
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  # {}\n  {}", self.shows, self.command)
    }
}

/// What can be looked at while the mesh stands.
///
/// # Errors
/// When the mesh has no such clusters.
pub(crate) fn standing(home: &Path, mesh: &Mesh) -> Result<Vec<Look>> {
    let home = home.display();
    let (near, far) = (mesh.cluster(NEAR)?, mesh.cluster(FAR)?);
    let (discovery, gateway) = (near.discovery_pages(), far.gateway_debug());
    let metrics = far.gateway_metrics();
    Ok(vec![
        look(
            "what runs in c1",
            format!("kubectl --kubeconfig {home}/c1.yaml get pods -A -o wide"),
        ),
        look(
            "how c1's discovery sees each cluster",
            format!("curl -sf http://{discovery}/debug/clusters"),
        ),
        look(
            "whom it tells",
            format!("curl -sf http://{discovery}/debug/xds"),
        ),
        look(
            "where c2's gateway lets in to",
            format!("curl -sf http://{gateway}/debug/routes"),
        ),
        look(
            "what it carries",
            format!("curl -sf http://{gateway}/debug/connections"),
        ),
        look(
            "and has carried",
            format!("curl -sf http://{metrics}/metrics"),
        ),
    ])
}

/// What can be looked at as long as the files are there.
///
/// # Errors
/// When this program does not know where it is.
pub(crate) fn kept(home: &Path) -> Result<Vec<Look>> {
    let isthmus = std::env::current_exe().context("where is this program?")?;
    let (isthmus, home) = (isthmus.display(), home.display());
    Ok(vec![
        look(
            "whom c1's client can prove to be, and by whom",
            format!("{isthmus} trust show {home}/c1/tls/client"),
        ),
        look(
            "the same certificate",
            format!("openssl x509 -in {home}/c1/tls/client/cert-chain.pem -noout -text"),
        ),
        look(
            "what c1's discovery was told to do",
            format!("cat {home}/c1/discovery.json"),
        ),
        look(
            "what c2's gateway said",
            format!("tail {home}/log/c2-eastwest.log"),
        ),
    ])
}

/// Under a heading, one after the other.
pub(crate) fn list(heading: &str, looks: &[Look]) -> String {
    let looks: Vec<String> = looks.iter().map(Look::to_string).collect();
    format!("\n{heading}\n{}", looks.join("\n"))
}

fn look(shows: &'static str, command: String) -> Look {
    Look { command, shows }
}
