//! A pod: an API object, a network namespace, and the programs inside.
//!
//! What a kubelet does is done here: volumes, status, and the order of an end.

use std::{
    cell::Cell,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod as PodObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    api::Api,
    cluster::istio::Installed,
    config::state_directory,
    host::Host,
    kubelet::Admitted,
    objects,
    role::{Check, Outfit, Seat},
};
use crate::{
    netns::Netns,
    probe::{self, Page, eventually},
    process::{Process, Program},
    rootfs::Rootfs,
    topology::{NODE_ON_POD_BRIDGE, OUTBOUND_PORT, Role, SERVICE_PORT, Workload},
};

impl<'a> Host<'a> {
    fn installed(&self) -> Result<&'a Installed> {
        self.installed
            .with_context(|| format!("nothing is installed in {}", self.plan.name))
    }

    /// What runs in a pod whose object says it, made in `directory`.
    async fn outfit(&self, directory: &Path, netns: &Netns, object: Value) -> Result<Outfit> {
        let admitted = Admitted {
            host: *self,
            installed: self.installed()?,
            directory,
            netns,
            object: &serde_json::from_value(object)?,
        };
        admitted.outfit().await
    }

    /// The object of a pod, before webhooks had their say.
    pub(super) fn object(&self, workload: &Workload, name: &str) -> Result<Value> {
        let template = match &workload.role {
            Role::Charted { .. } => self.installed()?.template(workload.name)?,
            Role::Injected { version, istiod } => {
                objects::application(workload, *version, *istiod, name)
            }
            _ => return Ok(objects::pod(self.plan, workload, name)),
        };
        Ok(objects::pod_of(self.plan, workload, name, template))
    }
}

/// A running pod. Dropping it ends its programs, then its namespace; the API
/// object stays.
#[derive(Debug)]
pub struct Pod {
    // In the order in which they must go.
    processes: Vec<Process>,
    netns: Netns,
    name: String,
    workload: Workload,
    address: Ipv4Addr,
    checks: Vec<Check>,
    root: Option<Rootfs>,
    app: PathBuf,
    directory: PathBuf,
    logs: PathBuf,
    log_prefix: String,
    spawned: Cell<u32>,
}

impl Pod {
    /// Creates the object, plugs the network, starts the programs. The pod is
    /// not ready yet: [`Pod::become_ready`].
    ///
    /// # Errors
    /// When any of it is refused.
    pub async fn start(
        host: Host<'_>,
        workload: &Workload,
        name: &str,
        address: Ipv4Addr,
        kubeconfig: Option<String>,
    ) -> Result<Self> {
        let netns = plug(host, workload, name, address)?;
        host.api
            .create::<PodObject>(host.object(workload, name)?)
            .await?;
        let status = objects::pod_status(address, host.plan.node(), false);
        let object = host
            .api
            .set_status::<PodObject>(workload.namespace, name, status)
            .await?;
        let directory = host.directory.join("pods").join(name);
        fs::create_dir_all(&directory)?;
        let outfit = match &workload.role {
            Role::Charted { .. } | Role::Injected { .. } => {
                host.outfit(&directory, &netns, object).await?
            }
            _ => Seat {
                plan: host.plan,
                peers: host.peers,
                cluster: host.directory,
                directory: &directory,
                kubeconfig,
                workload,
                pod: name,
                address,
            }
            .outfit()?,
        };
        for program in &outfit.before {
            program.run(&netns).await?;
        }
        let log_prefix = format!("{}-{name}", host.plan.name);
        let processes = outfit
            .programs
            .into_iter()
            .map(|program| {
                let log = host.logs.join(format!("{log_prefix}-{}.log", program.name));
                Process::start(program, &netns, log)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            processes,
            netns,
            name: name.to_owned(),
            workload: workload.clone(),
            address,
            checks: outfit.checks,
            root: outfit.root,
            app: host.peers.app.clone(),
            directory,
            logs: host.logs.to_owned(),
            log_prefix,
            spawned: Cell::new(0),
        })
    }

    /// Waits until every check holds, then says Ready in its status.
    ///
    /// # Errors
    /// When a program ends or a check fails for too long.
    pub async fn become_ready(&mut self, host: Host<'_>) -> Result<()> {
        eventually("it is ready", READY_LIMIT, async || self.is_ready().await)
            .await
            .with_context(|| format!("pod {} of {}", self.name, host.plan.name))?;
        let status = objects::pod_status(self.address, host.plan.node(), true);
        host.api
            .set_status::<PodObject>(self.workload.namespace, &self.name, status)
            .await?;
        Ok(())
    }

    /// Whether its programs run and every check holds, at this moment.
    ///
    /// # Errors
    /// What does not, and [`crate::process::Ended`] when a program has.
    pub async fn is_ready(&mut self) -> Result<()> {
        self.runs()?;
        for check in &self.checks {
            hold(&self.netns, check).await?;
        }
        Ok(())
    }

    /// Whether its programs run.
    ///
    /// # Errors
    /// [`crate::process::Ended`] when one has ended.
    pub fn runs(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it belongs to.
    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// Its address in its cluster.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its network namespace.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Its programs.
    #[must_use]
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Where a role of ours keeps what outlives its process.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        state_directory(&self.directory)
    }

    /// Where a file of its own lies outside.
    ///
    /// # Errors
    /// When it has no file system of its own, or not there.
    pub fn outside(&self, inside: &Path) -> Result<PathBuf> {
        let root = self
            .root
            .as_ref()
            .context("a pod without files of its own")?;
        root.outside(inside)
    }

    /// Gets a page from its loopback.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn page(&self, port: u16, path: &str) -> Result<Page> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        probe::get(&self.netns, address, "localhost", path).await
    }

    /// Calls a service through its sidecar.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(&self, host: &str, path: &str) -> Result<Page> {
        probe::get(&self.netns, self.door(host)?, host, path).await
    }

    /// Where a caller in the pod connects to in order to reach a service: its sidecar, or
    /// the service's own address where connections are captured.
    ///
    /// # Errors
    /// When the pod cannot resolve the name.
    pub fn door(&self, host: &str) -> Result<SocketAddr> {
        match &self.root {
            None => Ok((Ipv4Addr::LOCALHOST, OUTBOUND_PORT).into()),
            Some(root) => Ok((root.resolve(host)?, SERVICE_PORT).into()),
        }
    }

    /// Runs `world-app` inside to its end and returns what it says.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let program = Program::new(&self.name, &self.app, arguments.iter().copied());
        program.run(&self.netns).await
    }

    /// The same for an answer in JSON.
    ///
    /// # Errors
    /// When it fails, or says something else.
    pub async fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let text = self.run(arguments).await?;
        serde_json::from_str(&text).with_context(|| format!("not understood: {text}"))
    }

    /// Starts `world-app` inside; it ends when the returned process is dropped.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn spawn(&self, arguments: &[&str]) -> Result<Process> {
        let run = self.spawned.get() + 1;
        self.spawned.set(run);
        let program = Program::new(arguments[0], &self.app, arguments.iter().copied());
        let file = format!("{}-{}-{run}.log", self.log_prefix, arguments[0]);
        Process::start(program, &self.netns, self.logs.join(file))
    }

    /// Kills its programs as a crash would.
    pub fn kill(&mut self) {
        for process in &mut self.processes {
            process.kill();
        }
    }

    /// Starts its programs anew, without waiting for them to be ready; what runs of them is
    /// killed before.
    ///
    /// # Errors
    /// When one cannot start.
    pub fn start_again(&mut self) -> Result<()> {
        let netns = &self.netns;
        let mut all = self.processes.iter_mut();
        all.try_for_each(|process| process.start_again(netns))
    }

    /// Ends its programs as a kubelet does, the sidecar last, and removes the object.
    ///
    /// # Errors
    /// When the API refuses, or a program had to be killed.
    pub async fn end(mut self, api: &Api) -> Result<()> {
        for process in &mut self.processes {
            process.stop(STOP_GRACE).await?;
        }
        let now = Some(Duration::ZERO);
        api.delete::<PodObject>(self.workload.namespace, &self.name, now)
            .await
    }
}

/// The pod's namespace, with its leg on the pods' bridge and, for a gateway,
/// one on the wan.
fn plug(host: Host<'_>, workload: &Workload, name: &str, address: Ipv4Addr) -> Result<Netns> {
    let netns = Netns::create(format!("{}-{}-{name}", host.run, host.plan.name))?;
    host.bridge
        .plug(host.node, &netns, "eth0", &format!("{address}/24"))?;
    netns.ip(&[format!("route add default via {NODE_ON_POD_BRIDGE}")])?;
    let wan = match &workload.role {
        Role::Gateway => Some(host.plan.gateway()),
        Role::Charted { wan } => *wan,
        _ => None,
    };
    if let Some(wan) = wan {
        host.wan.plug(&netns, "wan0", wan)?;
    }
    Ok(netns)
}

async fn hold(netns: &Netns, check: &Check) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, check.port));
    let page = probe::get(netns, address, "localhost", &check.path).await?;
    if page.status == 200 && page.text.contains(&check.contains) {
        return Ok(());
    }
    bail!(
        "{address}{} says {} [{}], wanted [{}]",
        check.path,
        page.status,
        page.text.trim(),
        check.contains
    )
}

const READY_LIMIT: Duration = Duration::from_secs(45);
const STOP_GRACE: Duration = Duration::from_secs(10);
