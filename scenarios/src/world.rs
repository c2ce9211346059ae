//! A world: clusters that stand, on a wan that joins them, and the desk of the test.
//!
//! Everything is owned by the [`World`] value: dropping it, for whatever reason,
//! ends every process and removes every namespace and file.

pub mod api;
pub mod balancer;
pub mod bootstrap;
pub mod chart;
pub mod cluster;
pub mod config;
pub mod control_plane;
pub mod furniture;
pub mod host;
pub mod image;
pub mod kubeconfig;
pub mod kubelet;
pub mod mount;
pub mod objects;
pub mod pki;
pub mod pod;
pub mod role;
mod service_export;
pub mod terminal;
pub mod trust;

use std::{net::Ipv4Addr, rc::Rc};

use anyhow::Result;
use futures::future::try_join_all;

use crate::{
    netns::{Bridge, Netns},
    peers::Peers,
    run::Run,
    topology::{ClusterPlan, DESK},
};
pub use cluster::Cluster;
use cluster::istio::Flavour;

/// A standing world.
#[derive(Debug)]
pub struct World {
    // In the order in which they must go.
    clusters: Vec<Cluster>,
    desk: Netns,
    wan: Rc<Wan>,
    peers: Peers,
    run: Run,
}

/// What joins networks: a bridge in a namespace of its own.
#[derive(Debug)]
pub struct Wan {
    netns: Netns,
    bridge: Bridge,
}

impl Wan {
    fn create(run: &str) -> Result<Self> {
        let netns = Netns::create(format!("{run}-wan"))?;
        let bridge = Bridge::create(&netns, "wan0", None)?;
        Ok(Self { netns, bridge })
    }

    /// Gives `guest` a leg on the wan.
    ///
    /// # Errors
    /// When the network refuses.
    pub fn plug(&self, guest: &Netns, device: &str, address: Ipv4Addr) -> Result<()> {
        self.bridge
            .plug(&self.netns, guest, device, &format!("{address}/24"))
    }
}

impl World {
    /// Brings up clusters that know nothing of one another.
    ///
    /// The calling thread moves to the desk, a namespace on the wan, for good:
    /// it must be a thread of this world's own, with a runtime that has no other.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start(peers: &Peers, plans: &[ClusterPlan]) -> Result<Self> {
        let run = Run::start()?;
        let wan = Rc::new(Wan::create(run.name())?);
        let desk = Netns::create(format!("{}-desk", run.name()))?;
        wan.plug(&desk, "wan0", DESK)?;
        desk.enter()?;
        let mut world = Self {
            clusters: Vec::new(),
            desk,
            wan,
            peers: peers.clone(),
            run,
        };
        let started = try_join_all(plans.iter().map(|plan| {
            let (name, home) = (world.run.name(), world.run.directory());
            Cluster::start(
                plan.clone(),
                peers.clone(),
                name,
                home,
                Rc::clone(&world.wan),
            )
        }))
        .await;
        world.clusters = started.inspect_err(|_| {
            world.keep_logs();
        })?;
        Ok(world)
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Keeps the logs when the world ends, and says where.
    pub fn keep_logs(&self) {
        eprintln!("logs: {}", self.run.keep_logs().display());
    }

    /// The namespace in which the test stands.
    #[must_use]
    pub fn desk(&self) -> &Netns {
        &self.desk
    }

    /// The clusters.
    #[must_use]
    pub fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// The clusters, to be changed side by side.
    pub fn clusters_mut(&mut self) -> impl Iterator<Item = &mut Cluster> {
        self.clusters.iter_mut()
    }

    /// A cluster by name.
    ///
    /// # Panics
    /// When the world has none of that name: a mistake in a scenario.
    #[must_use]
    pub fn cluster(&self, name: &str) -> &Cluster {
        let found = self
            .clusters
            .iter()
            .find(|cluster| cluster.plan().name == name);
        found.unwrap_or_else(|| panic!("no cluster {name} in this world"))
    }

    /// A cluster by name, to be changed.
    ///
    /// # Panics
    /// When the world has none of that name.
    pub fn cluster_mut(&mut self, name: &str) -> &mut Cluster {
        let found = self
            .clusters
            .iter_mut()
            .find(|cluster| cluster.plan().name == name);
        found.unwrap_or_else(|| panic!("no cluster {name} in this world"))
    }

    /// One root for all, an intermediate for each cluster, and an agent on each
    /// node: what `isthmus trust` is for.
    ///
    /// # Errors
    /// When a command fails.
    pub async fn share_trust(&mut self) -> Result<()> {
        self.make_authorities()?;
        for cluster in &mut self.clusters {
            cluster.start_agent().await?;
        }
        Ok(())
    }

    /// One root for all, and an intermediate for each cluster, in its directory `ca`.
    ///
    /// # Errors
    /// When a command fails.
    pub fn make_authorities(&self) -> Result<()> {
        let plans = self.clusters.iter().map(Cluster::plan);
        trust::share(&self.peers.isthmus, self.run.directory(), plans)
    }

    /// A real Istio in each cluster, on one root, that knows the others by their remote
    /// secrets.
    ///
    /// # Errors
    /// When a part is missing or does not come up.
    pub async fn install_istio(&mut self, flavour: Flavour) -> Result<()> {
        self.make_authorities()?;
        let clusters = self.clusters.iter_mut();
        try_join_all(clusters.map(|cluster| cluster.install_istio(flavour))).await?;
        self.exchange_secrets().await
    }

    /// Gives each cluster the remote secret of every other.
    ///
    /// # Errors
    /// When an API refuses.
    pub async fn exchange_secrets(&self) -> Result<()> {
        for reader in &self.clusters {
            for peer in self
                .clusters
                .iter()
                .filter(|peer| peer.plan().name != reader.plan().name)
            {
                let anchor = format!("token-of-{}", reader.plan().name);
                let kubeconfig = peer.reader_kubeconfig(&anchor).await?;
                reader
                    .add_remote_secret(&peer.plan().name, &kubeconfig)
                    .await?;
            }
        }
        Ok(())
    }

    /// Runs our own command to its end.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn isthmus(&self, arguments: &[&str]) -> Result<String> {
        trust::run(&self.peers.isthmus, arguments)
    }

    /// How to look inside by hand, while it stands.
    #[must_use]
    pub fn directions(&self) -> String {
        let mut lines = vec![
            format!("logs and files   {}", self.run.directory().display()),
            format!("the desk         ip netns exec {} bash", self.desk.name()),
        ];
        for cluster in &self.clusters {
            lines.push(format!(
                "API of {:<10}ip netns exec {} kubectl --kubeconfig {}",
                cluster.plan().name,
                self.desk.name(),
                cluster
                    .directory()
                    .join("control-plane/admin.kubeconfig")
                    .display()
            ));
            lines.extend(cluster.pods().values().map(|pod| {
                format!(
                    "{:<17}ip netns exec {} bash   # {}",
                    pod.name(),
                    pod.netns().name(),
                    pod.address()
                )
            }));
        }
        lines.join("\n")
    }
}
