//! A mesh on loopback, as its plan says: clusters, what joins them, and who runs in them.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Service;

use super::{
    cluster::{Cluster, Ground, deploy, link},
    wire::Wire,
};
use crate::{
    topology::mesh::{MemberPlan, MeshPlan},
    world::{objects, trust},
};

/// A standing world.
#[derive(Debug)]
pub struct World {
    clusters: Vec<Cluster>,
    wires: BTreeMap<Way, Wire>,
}

/// From one cluster to something of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Whose discovery or proxies go it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// To what there.
    pub end: End,
}

/// What a wire between two clusters leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The API server.
    Api,
    /// Discovery, for the proxies of a cluster that runs none.
    Discovery,
}

impl World {
    /// Brings up what the plan says; its pods come into being while it stands.
    ///
    /// # Errors
    /// When the plan cannot stand, or a part does not come up; an address in use is named.
    pub async fn start(plan: &MeshPlan, ground: &Ground) -> Result<Self> {
        let problems = plan.problems();
        ensure!(problems.is_empty(), "{}", problems.join("; "));
        trust::share(&ground.isthmus, &ground.directory, plan.clusters())?;
        let starting = plan
            .members
            .iter()
            .map(|member| Cluster::start(member, plan, ground));
        let mut world = Self {
            clusters: try_join_all(starting).await?,
            wires: BTreeMap::new(),
        };
        for member in &plan.members {
            world.join(member).await?;
        }
        try_join_all(world.clusters.iter_mut().map(Cluster::start_roles)).await?;
        let clusters = world.clusters.iter().zip(&plan.members);
        try_join_all(clusters.map(|(cluster, member)| populate(cluster, member))).await?;
        Ok(world)
    }

    /// The clusters, in the plan's order.
    #[must_use]
    pub fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// The clusters, to be changed.
    pub fn clusters_mut(&mut self) -> impl Iterator<Item = &mut Cluster> {
        self.clusters.iter_mut()
    }

    /// A cluster.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn cluster(&self, name: &str) -> Result<&Cluster> {
        let mut clusters = self.clusters.iter();
        let found = clusters.find(|cluster| cluster.plan().name == name);
        found.with_context(|| format!("no cluster {name}"))
    }

    /// A cluster, to be changed.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn cluster_mut(&mut self, name: &str) -> Result<&mut Cluster> {
        let mut clusters = self.clusters.iter_mut();
        let found = clusters.find(|cluster| cluster.plan().name == name);
        found.with_context(|| format!("no cluster {name}"))
    }

    /// Where the kubeconfigs are of somebody who may do everything, by cluster.
    #[must_use]
    pub fn kubeconfigs(&self) -> BTreeMap<String, PathBuf> {
        let clusters = self.clusters.iter();
        let files = clusters.map(|one| (one.plan().name.clone(), one.kubeconfig_path()));
        files.collect()
    }

    /// What leads from `from` to `to`.
    ///
    /// # Errors
    /// When nothing does.
    pub fn wire(&self, from: &str, to: &str, end: End) -> Result<&Wire> {
        let (from, to) = (from.to_owned(), to.to_owned());
        let way = Way { from, to, end };
        let wire = self.wires.get(&way);
        wire.with_context(|| format!("no wire of {way:?}"))
    }

    /// Ends everything in order, and waits.
    pub async fn stop(self) {
        for cluster in self.clusters {
            cluster.stop().await;
        }
        for wire in self.wires.into_values() {
            wire.remove().await;
        }
    }

    /// What a member needs of the others: their API servers where it runs a discovery, with
    /// secrets that say so, else the discovery that serves it.
    async fn join(&mut self, member: &MemberPlan) -> Result<()> {
        let name = member.cluster.name.clone();
        let slice = self.cluster(&name)?.slice();
        if !member.serves_itself() {
            let server = self.cluster(&member.served_by)?.slice();
            let wire = Wire::lay(server.xds_from(slice), server.xds()).await?;
            self.keep(&name, &member.served_by, End::Discovery, wire);
            return Ok(());
        }
        let others = self.clusters.iter().map(|peer| peer.plan().name.clone());
        for peer in others.filter(|peer| *peer != name).collect::<Vec<_>>() {
            let far = self.cluster(&peer)?;
            let wire = Wire::lay(far.slice().api_from(slice), far.slice().api()).await?;
            let kubeconfig = far.reader_kubeconfig(slice, &anchor(&name)).await?;
            link(self.cluster(&name)?, &peer, &kubeconfig).await?;
            self.keep(&name, &peer, End::Api, wire);
        }
        Ok(())
    }

    fn keep(&mut self, from: &str, to: &str, end: End, wire: Wire) {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.wires.insert(Way { from, to, end }, wire);
    }
}

/// The Secret to which the first token of this reader is bound, in each of its peers.
#[must_use]
pub fn anchor(reader: &str) -> String {
    format!("token-of-{reader}")
}

async fn populate(cluster: &Cluster, member: &MemberPlan) -> Result<()> {
    let api = cluster.api();
    for service in &member.services {
        api.create::<Service>(objects::service(service)).await?;
    }
    for deployment in &member.deployments {
        deploy(api, deployment).await?;
    }
    Ok(())
}
