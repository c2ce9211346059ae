//! The cluster around a pod.

use std::path::Path;

use super::{Wan, api::Api, cluster::istio::Installed, kubeconfig::Kubeconfig};
use crate::{
    netns::{Bridge, Netns},
    peers::Peers,
    topology::ClusterPlan,
};

/// What a pod needs of the cluster that it starts in.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// The cluster.
    pub plan: &'a ClusterPlan,
    /// Where the programs are.
    pub peers: &'a Peers,
    /// The run's name, the beginning of every namespace's.
    pub run: &'a str,
    /// The cluster's directory.
    pub directory: &'a Path,
    /// Where logs go.
    pub logs: &'a Path,
    /// The node's namespace.
    pub node: &'a Netns,
    /// The bridge of the pods, in the node's namespace.
    pub bridge: &'a Bridge,
    /// The wan, for gateways.
    pub wan: &'a Wan,
    /// The cluster's API.
    pub api: &'a Api,
    /// How to reach it.
    pub kubeconfig: &'a Kubeconfig,
    /// What charts have installed.
    pub installed: Option<&'a Installed>,
}
