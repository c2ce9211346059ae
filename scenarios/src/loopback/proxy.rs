//! What stands beside an application on loopback: a sidecar of our own in this process, or a
//! real Envoy, a process that ends with this one.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    probe::{get_here, post_here},
    process::{Process, Program},
    sidecar::{Bootstrap, Sidecar},
    world::bootstrap::{ADMIN_PORT, envoy_arguments},
};

/// The kinds that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Our own small one ([`crate::sidecar`]).
    Builtin,
    /// The Envoy of this path.
    Envoy(PathBuf),
}

/// Where the processes of a cluster's pods come from, and where their files go.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    pub(super) kind: Kind,
    /// The command `isthmus`, that runs what shall end with us.
    pub(super) isthmus: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) logs: PathBuf,
    /// The cluster's name, with which its logs begin.
    pub(super) cluster: String,
    /// Where its proxies find their discovery.
    pub(super) discovery: SocketAddr,
}

/// One at work. Dropping it ends it.
pub(super) struct Proxy {
    admin: SocketAddr,
    running: Running,
}

enum Running {
    Builtin { sidecar: Sidecar, end: DropGuard },
    Envoy(Process),
}

impl Proxy {
    /// Starts one for `pod`, whose 127.0.0.1 is `loopback`, by an Envoy's bootstrap file.
    pub(super) async fn start(
        workshop: &Workshop,
        pod: &str,
        loopback: IpAddr,
        bootstrap: &Value,
    ) -> Result<Self> {
        let running = match &workshop.kind {
            Kind::Builtin => {
                let end = CancellationToken::new();
                let sidecar = Sidecar::start(Bootstrap::parse(bootstrap)?, end.clone()).await?;
                let end = end.drop_guard();
                Running::Builtin { sidecar, end }
            }
            Kind::Envoy(binary) => Running::Envoy(workshop.envoy(binary, pod, bootstrap)?),
        };
        let admin = SocketAddr::new(loopback, ADMIN_PORT);
        Ok(Self { admin, running })
    }

    /// Calls `ready` when it serves and has `listener`; fails when it has ended, and never
    /// returns otherwise.
    pub(super) async fn watch(&mut self, listener: &str, ready: impl FnOnce()) -> Result<()> {
        while self.has(listener).await.is_err() {
            self.check()?;
            sleep(POLL).await;
        }
        ready();
        loop {
            self.check()?;
            sleep(GLANCE).await;
        }
    }

    /// Each connection of a client shall end with its next answer.
    pub(super) async fn drain(&self) -> Result<()> {
        match &self.running {
            Running::Builtin { sidecar, .. } => sidecar.drain(),
            Running::Envoy(_) => {
                let page = post_here(self.admin, "/healthcheck/fail").await?;
                ensure!(page.status == 200, "{}", page.text);
            }
        }
        Ok(())
    }

    /// Ends it, and waits.
    pub(super) async fn stop(self) {
        match self.running {
            Running::Builtin { sidecar, end } => {
                drop(end);
                sidecar.join().await;
            }
            Running::Envoy(mut process) => {
                // What does not end in time is killed.
                let _ = process.stop(STOP).await;
            }
        }
    }

    fn check(&mut self) -> Result<()> {
        match &mut self.running {
            // Its tasks end with its token alone.
            Running::Builtin { .. } => Ok(()),
            Running::Envoy(process) => process.check(),
        }
    }

    async fn has(&self, listener: &str) -> Result<()> {
        let ready = get_here(self.admin, "/ready").await?;
        ensure!(ready.status == 200, "not ready");
        let listeners = get_here(self.admin, "/listeners").await?.text;
        let mut names = listeners.lines().filter_map(|line| line.split_once("::"));
        ensure!(names.any(|(name, _)| name == listener), "{listeners}");
        Ok(())
    }
}

impl Workshop {
    fn envoy(&self, binary: &Path, pod: &str, bootstrap: &Value) -> Result<Process> {
        let pods = self.directory.join("pods");
        fs::create_dir_all(&pods)?;
        let file = pods.join(format!("{pod}.envoy.json"));
        fs::write(&file, serde_json::to_vec_pretty(bootstrap)?)?;
        let own = ["exec".to_owned(), binary.display().to_string()];
        let arguments = own.into_iter().chain(envoy_arguments(&file));
        let program = Program::new("envoy", &self.isthmus, arguments).ending_with_us();
        let log = format!("{}-{pod}-envoy.log", self.cluster);
        Process::start_here(program, self.logs.join(log))
    }
}

const POLL: Duration = Duration::from_millis(20);
const GLANCE: Duration = Duration::from_millis(200);
const STOP: Duration = Duration::from_secs(2);
