//! A mesh as a value: its clusters, and who runs what for whom.

use std::collections::{BTreeMap, BTreeSet};

use super::{ClusterPlan, ServicePlan, labels};

/// A mesh: members that share one root and know one another.
#[derive(Debug, Clone)]
pub struct MeshPlan {
    /// The members, each with a number of its own.
    pub members: Vec<MemberPlan>,
}

/// A cluster of a mesh.
#[derive(Debug, Clone)]
pub struct MemberPlan {
    /// The cluster.
    pub cluster: ClusterPlan,
    /// The cluster whose discovery its proxies ask: itself, unless its control plane is
    /// elsewhere. One that serves itself runs a discovery, which reads all members.
    pub served_by: String,
    /// Whether it runs a gateway.
    pub gateway: bool,
    /// What runs there.
    pub deployments: Vec<DeploymentPlan>,
    /// Its services.
    pub services: Vec<ServicePlan>,
}

/// Pods of one kind, as a person writes them down.
#[derive(Debug, Clone)]
pub struct DeploymentPlan {
    /// Its name.
    pub name: String,
    /// Its service account.
    pub account: String,
    /// Labels of its pods, before sidecars come to them.
    pub labels: BTreeMap<String, String>,
    /// What runs in them: `helloworld:VERSION`, or `client`.
    pub image: String,
    /// How many there are.
    pub replicas: u32,
}

impl MeshPlan {
    /// These clusters, each as [`MemberPlan::new`] has it.
    pub fn of(clusters: impl IntoIterator<Item = ClusterPlan>) -> Self {
        Self {
            members: clusters.into_iter().map(MemberPlan::new).collect(),
        }
    }

    /// The clusters.
    pub fn clusters(&self) -> impl Iterator<Item = &ClusterPlan> {
        self.members.iter().map(|member| &member.cluster)
    }

    /// The versions of `helloworld` that run anywhere.
    #[must_use]
    pub fn versions(&self) -> BTreeSet<&str> {
        let deployments = self.members.iter().flat_map(|member| &member.deployments);
        let versions = deployments.filter_map(|one| one.image.strip_prefix("helloworld:"));
        versions.collect()
    }

    /// All that is wrong with it; nothing when it can stand.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let unnamed = self
            .members
            .iter()
            .enumerate()
            .filter_map(|(place, member)| {
                let ClusterPlan { name, number, .. } = &member.cluster;
                let mut before = self.members[..place].iter().map(|m| &m.cluster);
                let taken = before.any(|other| other.name == *name || other.number == *number);
                taken.then(|| format!("{name}: its name or its number {number} is another's"))
            });
        let unserved = self.members.iter().filter_map(|member| {
            let (name, server) = (&member.cluster.name, &member.served_by);
            let mut all = self.members.iter();
            let found = all.any(|m| m.cluster.name == *server && m.serves_itself());
            (!found).then(|| format!("{name}: {server}, which shall serve it, runs no discovery"))
        });
        let networks: BTreeSet<&str> = self.clusters().map(|c| c.network.as_str()).collect();
        let unreached = networks.iter().filter(|network| {
            let inside = |m: &&MemberPlan| m.cluster.network == **network;
            let exports = |m: &MemberPlan| m.services.iter().any(|service| service.exported);
            let members = || self.members.iter().filter(inside);
            networks.len() > 1 && members().any(exports) && !members().any(|m| m.gateway)
        });
        let unreached =
            unreached.map(|network| format!("{network}: what it exports is behind no gateway"));
        unnamed.chain(unserved).chain(unreached).collect()
    }
}

impl MemberPlan {
    /// A cluster with a discovery and a gateway of its own, the application `helloworld`, in
    /// the version of the cluster's number, for all, and a client of it.
    #[must_use]
    pub fn new(cluster: ClusterPlan) -> Self {
        let version = format!("v{}", cluster.number);
        Self {
            served_by: cluster.name.clone(),
            gateway: true,
            deployments: vec![
                DeploymentPlan::helloworld(&version, 1),
                DeploymentPlan::client(),
            ],
            services: vec![ServicePlan::new(
                "helloworld",
                &[("app", "helloworld")],
                true,
            )],
            cluster,
        }
    }

    /// Whether it runs a discovery.
    #[must_use]
    pub fn serves_itself(&self) -> bool {
        self.served_by == self.cluster.name
    }
}

impl DeploymentPlan {
    /// The application in this version.
    #[must_use]
    pub fn helloworld(version: &str, replicas: u32) -> Self {
        Self {
            name: format!("helloworld-{version}"),
            account: "helloworld".to_owned(),
            labels: labels(&[("app", "helloworld"), ("version", version)]),
            image: format!("helloworld:{version}"),
            replicas,
        }
    }

    /// One that calls.
    #[must_use]
    pub fn client() -> Self {
        Self {
            name: "client".to_owned(),
            account: "client".to_owned(),
            labels: labels(&[("app", "client")]),
            image: "client".to_owned(),
            replicas: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> MeshPlan {
        MeshPlan::of([1, 2, 3].map(ClusterPlan::numbered))
    }

    #[test]
    fn a_mesh_that_can_stand_has_no_problems() {
        assert!(plan().problems().is_empty());
        let mut remote = plan();
        remote.members[1].served_by = "c1".to_owned();
        assert!(remote.problems().is_empty());
        // One gateway for a network is enough, and one network needs none.
        let mut shared = plan();
        shared.members[1].cluster.network = "network1".to_owned();
        shared.members[1].gateway = false;
        assert!(shared.problems().is_empty());
        let mut flat = MeshPlan::of([1, 2].map(|n| ClusterPlan::numbered(n).in_network("flat")));
        flat.members.iter_mut().for_each(|m| m.gateway = false);
        assert!(flat.problems().is_empty());
    }

    #[test]
    fn every_problem_is_named() {
        let mut plan = plan();
        plan.members[1].gateway = false;
        plan.members[2].served_by = "c9".to_owned();
        plan.members.push(MemberPlan::new(ClusterPlan::numbered(1)));
        let expected = [
            "c1: its name or its number 1 is another's",
            "c3: c9, which shall serve it, runs no discovery",
            "network2: what it exports is behind no gateway",
        ];
        assert_eq!(plan.problems(), expected);
        let mut circle = MeshPlan::of([1, 2].map(ClusterPlan::numbered));
        circle.members[0].served_by = "c2".to_owned();
        circle.members[1].served_by = "c1".to_owned();
        assert_eq!(circle.problems().len(), 2);
    }
}
