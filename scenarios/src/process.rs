//! Processes of a world: each in a namespace, each with a log, none left behind.
//!
//! A process gets SIGKILL when the thread that started it dies, however that
//! happens; dropping the value ends it too and waits for it.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{netns::Netns, rootfs::Rootfs};

/// What to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// A name for logs and messages, unique in its pod.
    pub name: String,
    /// The binary.
    pub binary: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables added to the environment.
    pub environment: BTreeMap<String, String>,
    /// The file system that it sees, if not the machine's; its environment is its own then.
    pub root: Option<Rootfs>,
    /// The user and group that it runs as, if not ours.
    pub user: Option<u32>,
}

impl Program {
    /// A program from its arguments.
    pub fn new<S: Into<String>>(
        name: &str,
        binary: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            binary: binary.to_owned(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: BTreeMap::new(),
            root: None,
            user: None,
        }
    }

    /// The same with a variable set.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same, of our own command, so that it ends when this process does.
    #[must_use]
    pub fn ending_with_us(mut self) -> Self {
        let parent = std::process::id().to_string();
        self.arguments
            .splice(0..0, ["--with-parent".to_owned(), parent]);
        self
    }

    /// The command that runs this inside a namespace and dies with us. The pid of
    /// what it starts is the program's own: `ip`, `sh` and `setpriv` replace themselves.
    #[must_use]
    pub fn command(&self, netns: &Netns) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", netns.name()]);
        if let Some(root) = &self.root {
            root.enter(&mut command);
        }
        command.args(["setpriv", "--pdeathsig", "KILL"]);
        if let Some(user) = &self.user {
            let user = user.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
        }
        command.arg("--").arg(&self.binary);
        self.complete(command)
    }

    /// The command that runs this where we stand. Whether it dies with us is its own matter.
    fn command_here(&self) -> Command {
        self.complete(Command::new(&self.binary))
    }

    fn complete(&self, mut command: Command) -> Command {
        command
            .args(&self.arguments)
            .env("NO_COLOR", "1")
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }
}

impl Program {
    /// Runs it in `netns` to its end and returns what it says.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn run(&self, netns: &Netns) -> Result<String> {
        let output = tokio::process::Command::from(self.command(netns))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output()
            .await?;
        if !output.status.success() {
            bail!(
                "in {}: {} {}: {}",
                netns.name(),
                self.name,
                self.arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// A program that should run has ended: waiting for anything of it is in vain.
#[derive(Debug)]
pub struct Ended(String);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Ended {}

/// A running program.
#[derive(Debug)]
pub struct Process {
    program: Program,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program in `netns`; what it prints is appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or `ip` cannot run.
    pub fn start(program: Program, netns: &Netns, log: PathBuf) -> Result<Self> {
        let command = program.command(netns);
        Self::spawn(program, command, log)
    }

    /// Starts a program where we stand; what it prints is appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot run.
    pub fn start_here(program: Program, log: PathBuf) -> Result<Self> {
        let command = program.command_here();
        Self::spawn(program, command, log)
    }

    fn spawn(program: Program, mut command: Command, log: PathBuf) -> Result<Self> {
        let out = File::options().create(true).append(true).open(&log)?;
        if program.user.is_some() {
            // An Envoy opens its standard output anew, by name.
            fs::set_permissions(&log, fs::Permissions::from_mode(0o666))?;
        }
        let child = command
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {}", program.name))?;
        Ok(Self {
            program,
            child,
            log,
        })
    }

    /// What runs.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Fails, with the end of its log, when it is no longer running.
    ///
    /// # Errors
    /// [`Ended`] when it has.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(Ended(format!(
                "{} ended ({status}); its log ends with\n{}",
                self.program.name,
                tail(&self.log, 15)
            ))
            .into()),
        }
    }

    /// Asks it to end, and ends it when it has not after `grace`.
    ///
    /// # Errors
    /// When it had to be killed, or cannot be waited for.
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + grace;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                self.kill();
                bail!("{} had to be killed after {grace:?}", self.program.name);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it at once, as a crash would, and waits for it.
    pub fn kill(&mut self) -> Option<i32> {
        let _ = self.child.kill();
        self.child.wait().ok().and_then(|status| status.signal())
    }

    /// Starts the program anew, into the same log, after what runs of it was killed.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start_again(&mut self, netns: &Netns) -> Result<()> {
        self.kill();
        *self = Self::start(self.program.clone(), netns, self.log.clone())?;
        Ok(())
    }

    /// Stops it where it is, as a machine does that swaps or hangs.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // The child is not waited for yet, so the pid is still its own.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a file.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
