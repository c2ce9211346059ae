//! Meshes on loopback as values: more clusters, shared networks, a control plane elsewhere.

#![cfg(feature = "demo")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its stage has nothing to say"
)]

use std::{path::Path, time::Duration};

use anyhow::ensure;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use scenarios::{
    demo::{Mesh, Order, picture::LOST},
    expect::Share,
    loopback::{
        cluster::{Ground, Role},
        proxy::Kind,
        wire::{State, Weather},
        world::{End, World},
    },
    probe::eventually,
    topology::{
        ClusterPlan,
        mesh::{DeploymentPlan, MeshPlan},
    },
};
use serde_json::json;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_clusters_in_three_networks_share_by_their_pods() {
    let mut plan = MeshPlan::of([1, 2, 3].map(ClusterPlan::numbered));
    plan.members[1].deployments[0] = DeploymentPlan::helloworld("v2", 2);
    let (mut mesh, _home) = stand(plan, 61).await;
    for client in ["c1", "c2", "c3"] {
        shares(&mesh, client, &[("v1", 1), ("v2", 2), ("v3", 1)]).await;
    }
    // What becomes of a wire is between two clusters alone.
    let wire = mesh.world().wire("c1", "c3", End::Api).unwrap();
    wire.set(Weather {
        state: State::Cut,
        ..Weather::default()
    });
    mesh.calls("c1").unwrap().forget();
    peer_becomes(&mut mesh, "c1", "c3", "stale").await;
    assert_eq!(state(&mut mesh, "c1", "c2").await, "live");
    assert_eq!(state(&mut mesh, "c2", "c3").await, "live");
    let lost = mesh.calls("c1").unwrap().view().lost;
    assert_eq!(lost, 0, "what is stale is served");
    mesh.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_of_one_network_meet_directly_and_share_its_gateway() {
    let mut plan = MeshPlan::of([1, 2, 3].map(ClusterPlan::numbered));
    "network1".clone_into(&mut plan.members[1].cluster.network);
    plan.members[1].gateway = false;
    let (mut mesh, _home) = stand(plan, 65).await;
    for client in ["c1", "c2"] {
        shares(&mesh, client, &[("v1", 1), ("v2", 1), ("v3", 1)]).await;
    }
    // A gateway splits connections, not requests: which of both a request gets is by chance.
    shares(&mesh, "c3", &[("v1+v2", 2), ("v3", 1)]).await;
    let c1 = mesh.world_mut().cluster_mut("c1").unwrap();
    let none = json!({ "spec": { "replicas": 0 } });
    let api = c1.api();
    let scaled = api.merge::<Deployment>(Some("sample"), "helloworld-v1", &none);
    scaled.await.unwrap();
    shares(&mesh, "c3", &[("v2", 1), ("v3", 1)]).await;
    // Those of the other network need the gateway, those inside do not for one another.
    let c1 = mesh.world_mut().cluster_mut("c1").unwrap();
    c1.process(Role::Gateway).unwrap().kill();
    for (client, expected) in [
        ("c1", &[("v2", 1), ("v3", 1)][..]),
        ("c2", &[("v2", 1), ("v3", 1)]),
        ("c3", &[("v3", 1)]),
    ] {
        shares(&mesh, client, expected).await;
    }
    mesh.stop().await;
}

/// Discovery serves the proxies of its own cluster alone, as yet: a remote one is refused, with
/// a certificate of the same root.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_cluster_finds_the_discovery_that_does_not_serve_it_yet() {
    let mut plan = MeshPlan::of([1, 2].map(ClusterPlan::numbered));
    let remote = &mut plan.members[1];
    "c1".clone_into(&mut remote.served_by);
    remote.gateway = false;
    remote.services.clear();
    let home = Home::make();
    let mut world = World::start(&plan, &ground(home.path(), 71)).await.unwrap();
    let wire = world.wire("c2", "c1", End::Discovery).unwrap();
    let asked = eventually("it is asked", LONG, async || {
        let (connections, _) = wire.carried();
        ensure!(connections > 10, "{connections} connections");
        Ok(())
    });
    asked.await.unwrap();
    let ready = async |cluster: &str, expected: &str| {
        let api = world.cluster(cluster).unwrap().api();
        let ready = eventually("the client", LONG, async || {
            let pods: Vec<Pod> = api.list("sample", "app=client").await?;
            let text = serde_json::to_string(&pods)?;
            let is = format!(r#""status":"{expected}","type":"Ready""#);
            ensure!(text.contains(&is), "{text}");
            Ok(())
        });
        ready.await.unwrap();
    };
    ready("c1", "True").await;
    ready("c2", "False").await;
    let c2 = world.cluster_mut("c2").unwrap();
    assert!(c2.process(Role::Discovery).is_err());
    let log = std::fs::read_to_string(home.path().join("log/c1-discovery.log"));
    assert!(log.unwrap().contains("OtherIntermediate"));
    world.stop().await;
}

#[tokio::test]
async fn a_plan_that_cannot_stand_is_refused_with_all_its_problems() {
    let mut plan = MeshPlan::of([1, 2].map(ClusterPlan::numbered));
    plan.members[0].gateway = false;
    "c9".clone_into(&mut plan.members[1].served_by);
    let home = Home::make();
    let refused = World::start(&plan, &ground(home.path(), 75)).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("network1") && said.contains("c9"), "{said}");
    assert!(!home.path().join("root").exists(), "nothing was begun");
}

/// Where a mesh has its files; they stay when a test fails.
struct Home(TempDir);

impl Home {
    fn make() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            eprintln!("logs: {}", self.path().join("log").display());
        }
    }
}

/// A mesh with a client in each cluster, all of which know every version.
async fn stand(plan: MeshPlan, first: u8) -> (Mesh, Home) {
    let home = Home::make();
    let order = Order {
        plan,
        ground: ground(home.path(), first),
        pace: Duration::from_millis(20),
    };
    (Mesh::start(&order).await.unwrap(), home)
}

fn ground(home: &Path, first: u8) -> Ground {
    Ground {
        isthmus: env!("CARGO_BIN_EXE_isthmus").into(),
        directory: home.to_owned(),
        sidecars: Kind::Builtin,
        first,
    }
}

/// The client of a cluster is answered by these versions (several that have one weight together
/// are `v1+v2`) and by no others, as the weights say.
async fn shares(mesh: &Mesh, client: &str, weights: &[(&str, u32)]) {
    let calls = mesh.calls(client).unwrap();
    let known = eventually("all answer", LONG, async || {
        let view = calls.view();
        let split = view.split();
        let answers = |some: &str| some.split('+').any(|version| split.contains_key(version));
        let all = weights.iter().all(|(some, _)| answers(some));
        let known = |who: &&str| weights.iter().any(|(some, _)| some.contains(who));
        let only = split.keys().filter(|who| **who != LOST).all(known);
        ensure!(all && only, "{split:?}; {:?}", view.last_loss);
        Ok(())
    });
    known.await.unwrap();
    let answers = calls.sample(SAMPLE).await;
    let counts = answers.by_version();
    let sum: u32 = weights.iter().map(|(_, weight)| weight).sum();
    let mut all = 0;
    for (some, weight) in weights {
        let of = |version| counts.get(version).copied().unwrap_or_default();
        let share = Share {
            count: some.split('+').map(of).sum(),
            trials: counts.values().sum(),
            promised: f64::from(*weight) / f64::from(sum),
        };
        println!("{client} is answered by {some}: {share}");
        assert!(share.holds(), "{client}, {some}: {share}; {counts:?}");
        all += share.count;
    }
    assert_eq!(all, counts.values().sum::<u64>(), "{client}: {counts:?}");
}

async fn peer_becomes(mesh: &mut Mesh, cluster: &str, peer: &str, wanted: &str) {
    let becomes = eventually("the peer's state", LONG, async || {
        let state = state(mesh, cluster, peer).await;
        ensure!(state == wanted, "{state}");
        Ok(())
    });
    becomes.await.unwrap();
}

/// How a peer stands, as the discovery of a cluster sees it.
async fn state(mesh: &mut Mesh, cluster: &str, peer: &str) -> String {
    let picture = mesh.picture(None).await;
    let mut clusters = picture.clusters.into_iter();
    let seen = clusters.find(|one| one.name == cluster).unwrap();
    let mut peers = seen.peers.into_iter();
    peers.find(|one| one.cluster == peer).unwrap().state
}

const SAMPLE: usize = 1200;
const LONG: Duration = Duration::from_secs(60);
