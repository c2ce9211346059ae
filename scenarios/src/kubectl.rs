//! kubectl, as a person calls it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// kubectl with the kubeconfig of one server.
#[derive(Debug)]
pub struct Kubectl {
    binary: PathBuf,
    kubeconfig: PathBuf,
    home: tempfile::TempDir,
    editor: String,
}

/// What a command said.
#[derive(Debug, Clone)]
pub struct Said {
    /// How it ended; -1 by a signal.
    pub code: i32,
    /// On standard output.
    pub out: String,
    /// On standard error.
    pub err: String,
}

/// A command that goes on saying things.
#[derive(Debug)]
pub struct Going {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Kubectl {
    /// One for the server of this kubeconfig; `editor` is what `kubectl edit` calls with a file.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub fn new(binary: &Path, kubeconfig: &str, editor: &str) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let path = home.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig)?;
        Ok(Self {
            binary: binary.to_owned(),
            kubeconfig: path,
            home,
            editor: editor.to_owned(),
        })
    }

    /// Runs a command to its end; `input` is what it reads.
    ///
    /// # Errors
    /// When it cannot be run, or does not end; that it says no is none.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Result<Said> {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("no input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = timeout(LONG, child.wait_with_output()).await;
        let output = output.with_context(|| format!("kubectl {arguments:?} does not end"))??;
        Ok(Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    /// Starts a command that goes on.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn follow(&self, arguments: &[&str]) -> Result<Going> {
        let mut child = self.command(arguments).stdin(Stdio::null()).spawn()?;
        let out = child.stdout.take().context("no output")?;
        Ok(Going {
            lines: BufReader::new(out).lines(),
            _child: child,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .env("HOME", self.home.path())
            .env("KUBECACHEDIR", self.home.path().join("cache"))
            .env("KUBE_EDITOR", &self.editor)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Going {
    /// The next line.
    ///
    /// # Errors
    /// When it says nothing more.
    pub async fn next(&mut self) -> Result<String> {
        let line = timeout(LONG, self.lines.next_line())
            .await
            .context("it says nothing more")??;
        line.context("it has ended")
    }
}

const LONG: Duration = Duration::from_secs(60);
