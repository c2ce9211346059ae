//! What stands before the story begins, and how to look at it.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use scenarios::{
    audit::Audit,
    crowd::Crowd,
    peers::Peers,
    recorder::{Happening, Recorder, Records},
    report::Report,
    topology::{ClusterPlan, SYSTEM_NAMESPACE},
    world::{
        World,
        role::{self, DISCOVERY_ADDRESS},
    },
};
use serde_json::json;

use crate::{reading::shows, stage::Scene};

/// The remote secret of c2, as istioctl names it.
pub(super) const SECRET: &str = "istio-remote-secret-c2";
/// How long anything may take to arrive before a step fails for it.
pub(super) const ARRIVAL: Duration = Duration::from_secs(20);
/// Everything that discovery follows.
pub(super) const RESOURCES: [&str; 7] = [
    "configmaps",
    "endpointslices",
    "namespaces",
    "nodes",
    "pods",
    "serviceexports",
    "services",
];

/// Who plays.
pub(super) struct Cast {
    pub(super) crowd: Crowd,
    pub(super) recorder: Recorder,
    /// The kubeconfig that stands in the secret.
    pub(super) kubeconfig: String,
    /// The Secret of c2 that its token is bound to.
    pub(super) anchor: &'static str,
}

impl Cast {
    /// Two clusters, c1 watching c2, until the recorder knows every endpoint.
    pub(super) async fn assemble<'a>(
        peers: &Peers,
        report: &Report,
        scene: &'a mut Scene,
    ) -> Result<(&'a mut World, Self)> {
        let plans = [1, 2].map(|number| ClusterPlan::numbered(number).in_network("flat"));
        let world = scene.insert(World::start(peers, &plans).await?);
        world.share_trust().await?;
        let c2 = world.cluster("c2");
        // There must be nothing that discovery follows in vain.
        c2.install_service_exports().await?;
        let crowd = Crowd::gather(c2.api(), c2.plan(), SERVICES, EACH).await?;
        report.given("two real API servers; 500 endpoints of 50 services in c2");

        let anchor = "token-1";
        let kubeconfig = c2.reader_kubeconfig(anchor).await?;
        let c1 = world.cluster_mut("c1");
        c1.add_remote_secret("c2", &kubeconfig).await?;
        c1.scale_up(&role::discovery(), 1).await?;
        let mut cast = Self {
            recorder: Recorder::start(c1, "crowd-", false)?,
            crowd,
            kubeconfig,
            anchor,
        };
        cast.settle().await?;
        shows(world, "c2 live, following everything", |c2| {
            let watches = c2["watches"].as_object().context("no watches")?;
            let all = watches.len() == RESOURCES.len();
            let following = watches.values().all(|watch| watch == "following");
            ensure!(all && following && c2["state"] == "live", "{c2}");
            Ok(())
        })
        .await?;
        report.given("c1's discovery follows c2; the recorder knows all 500");
        Ok((world, cast))
    }

    /// Waits until the recorder knows what is true.
    pub(super) async fn settle(&mut self) -> Result<Records> {
        self.recorder.agrees(&self.crowd.truth(), ARRIVAL).await
    }

    /// Fails when a removal was ever told that was none, and says how many were told since.
    pub(super) fn told_the_truth(&mut self, since: SystemTime) -> Result<Removals> {
        let records = self.recorder.so_far()?;
        let written = self.crowd.diary().written();
        let unfounded = records.unfounded(&written);
        ensure!(
            unfounded.is_empty(),
            "{} endpoints were taken away that were there, the first: {:?}",
            unfounded.len(),
            unfounded[0]
        );
        let records = records.since(since);
        Ok(Removals {
            removed: records.count(Happening::Removed),
            added: records.count(Happening::Added),
        })
    }

    /// Makes a token of c2's reader and puts it into the secret; says when.
    pub(super) async fn renew(
        &mut self,
        world: &World,
        anchor: &'static str,
    ) -> Result<SystemTime> {
        self.kubeconfig = world.cluster("c2").reader_kubeconfig(anchor).await?;
        self.anchor = anchor;
        put(world, &self.kubeconfig).await
    }

    /// Ends the token that stands in the secret.
    pub(super) async fn revoke(&self, world: &World) -> Result<()> {
        revoke(world, self.anchor).await
    }
}

/// What was told, beside what should have been.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Removals {
    pub(super) removed: usize,
    pub(super) added: usize,
}

/// Writes a kubeconfig into the secret; says when.
pub(super) async fn put(world: &World, kubeconfig: &str) -> Result<SystemTime> {
    let patch = json!({ "stringData": { "c2": kubeconfig } });
    let written = SystemTime::now();
    let api = world.cluster("c1").api();
    api.merge::<Secret>(Some(SYSTEM_NAMESPACE), SECRET, &patch)
        .await?;
    Ok(written)
}

/// Ends the token that is bound to `anchor`.
pub(super) async fn revoke(world: &World, anchor: &str) -> Result<()> {
    let api = world.cluster("c2").api();
    api.delete::<Secret>(SYSTEM_NAMESPACE, anchor, None).await
}

/// Removes a remote secret; says when.
pub(super) async fn remove(world: &World, name: &str) -> Result<SystemTime> {
    let written = SystemTime::now();
    let api = world.cluster("c1").api();
    api.delete::<Secret>(SYSTEM_NAMESPACE, name, None).await?;
    Ok(written)
}

/// What c1's discovery asked c2's API server.
pub(super) fn audit(world: &World) -> Result<Audit> {
    asked(world, "c2")
}

/// What c1's discovery asked an API server: in its own cluster under the address of its pod,
/// elsewhere under that of its node.
pub(super) fn asked(world: &World, cluster: &str) -> Result<Audit> {
    let log: PathBuf = world.run().logs().join(format!("{cluster}-audit.log"));
    let source = match cluster {
        "c1" => DISCOVERY_ADDRESS,
        _ => world.cluster("c1").plan().node(),
    };
    Audit::of(&log, source.into())
}

/// Fails when c2 was asked for a whole state since a moment.
pub(super) fn never_listed(world: &World, since: SystemTime) -> Result<()> {
    let audit = audit(world)?.since(since);
    let lists = audit.lists();
    ensure!(
        lists.is_empty(),
        "{} lists, the first: {:?}",
        lists.len(),
        lists[0]
    );
    Ok(())
}

const SERVICES: u16 = 50;
const EACH: u8 = 10;
