//! The terminal of a cluster's operator, with kubectl, helm and istioctl.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::{process::Command, time::timeout};

use super::{Cluster, cluster::istio::ISTIOD_ADDRESS};
use crate::peers::{Istio, kubectl};

/// A shell on a cluster's node, its home a directory of its own.
#[derive(Debug)]
pub struct Terminal {
    node: String,
    home: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Cluster {
    /// A terminal with every right in the cluster.
    ///
    /// # Errors
    /// When this machine cannot have a tool.
    pub fn terminal(&self) -> Result<Terminal> {
        let home = self.directory().join("terminal");
        let tools = home.join("bin");
        fs::create_dir_all(&tools)?;
        let istio = Istio::find()?;
        let programs = [
            ("kubectl", kubectl()?),
            ("istioctl", istio.program("istioctl")),
            ("helm", istio.helm),
        ];
        for (name, program) in programs {
            symlink(program, tools.join(name))?;
        }
        let kubeconfig = self.directory().join("control-plane/admin.kubeconfig");
        let shown = |path: &Path| path.display().to_string();
        let machine = std::env::var("PATH").unwrap_or_default();
        let variables = [
            ("HOME", shown(&home)),
            ("KUBECONFIG", shown(&kubeconfig)),
            ("PATH", format!("{}:{machine}", shown(&tools))),
            // It would find istiod through a kubelet.
            ("ISTIOCTL_XDS_ADDRESS", format!("{ISTIOD_ADDRESS}:15012")),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        Ok(Terminal {
            node: self.node().name().to_owned(),
            home,
            variables: variables.into(),
        })
    }
}

impl Terminal {
    /// Sets a variable for all that is typed from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Runs what is typed, until its first failure, and returns what it says.
    ///
    /// # Errors
    /// When it fails, with what it said, or does not end in two minutes.
    pub async fn type_in(&self, typed: &str) -> Result<String> {
        let running = Command::new("ip")
            .args(["netns", "exec", &self.node, "sh", "-euc", typed])
            .envs(&self.variables)
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(LIMIT, running).await;
        let output = output.with_context(|| format!("does not end: {typed}"))??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{typed}\n{}", said.trim());
        Ok(String::from_utf8(output.stdout)?)
    }
}

const LIMIT: Duration = Duration::from_secs(120);
