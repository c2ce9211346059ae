//! A start with what was known before it.

use std::{path::Path, time::Duration};

use discovery::model::Mesh;
use serde_json::Value;

use crate::{
    api_server::{PODS, SECRETS, SLICES},
    world::{World, pod, pods, set, slice},
};

/// Both clusters are known, `c2` with the pods `c2-a` and `c2-b`, and that is on disk.
async fn kept() -> World {
    let world = World::with_state().await;
    world.c2.apply(PODS, pod("c2-b", "10.0.0.2"));
    let both = [("c2-a", "10.0.0.1", true), ("c2-b", "10.0.0.2", true)];
    world.c2.apply(SLICES, slice("hello-1", &both));
    world.put_secret("c2", "t2");
    world.until(|mesh| pods(mesh, "c2").len() == 2).await;
    world.until_kept("c2-b").await;
    world
}

fn is_whole(mesh: &Mesh) -> bool {
    pods(mesh, "c1") == set(&["c1-a"]) && pods(mesh, "c2") == set(&["c2-a", "c2-b"])
}

fn remembered<'a>(report: &'a Value, cluster: &str) -> Option<&'a Value> {
    let clusters = report["clusters"].as_array().unwrap();
    let mut found = clusters.iter().filter(|c| c["cluster"] == cluster);
    found.find(|c| c["remembered"] == true)
}

#[tokio::test]
async fn with_every_api_server_dead_all_is_served_at_once_and_marked() {
    let mut world = kept().await;
    world.c1.stop().await;
    world.c2.stop().await;
    // Far longer than the test may take: waiting for the missing would be seen.
    let world = world.restart_with_first("1h").await;
    let mesh = world.published().await;
    assert_eq!(mesh.generation, 1);
    assert!(is_whole(&mesh), "{mesh:#?}");
    assert!(world.status.ready());
    assert_eq!(world.status.missing(), []);
    assert_eq!(world.status.remembered(), ["c1".into(), "c2".into()]);
    let report = world.status.clusters();
    for cluster in ["c1", "c2"] {
        let shown = remembered(&report, cluster).unwrap();
        assert_eq!(shown["state"], "stale");
        assert_eq!(shown["rememberedAgeMs"], shown["proofOfLifeAgeMs"]);
        assert!(shown["rememberedAgeMs"].is_u64(), "{shown}");
    }
    let page = world.status.metrics();
    assert!(page.contains(r#"isthmus_discovery_remembered_age_seconds{cluster="c2"}"#));
    let age = remembered(&report, "c2").unwrap()["rememberedAgeMs"].as_u64();
    // Kept again and again, it does not become younger.
    let world = world.restart_with_first("1h").await;
    world.published().await;
    let report = world.status.clusters();
    assert!(remembered(&report, "c2").unwrap()["rememberedAgeMs"].as_u64() >= age);
    assert!(is_whole(&world.now()));
    world.end().await;
}

#[tokio::test]
async fn silence_is_not_waited_for_long() {
    let world = kept().await;
    world.c1.fall_silent();
    world.c2.fall_silent();
    let world = world.restart_with_first("1h").await;
    let mesh = world.published().await;
    assert!(is_whole(&mesh), "{mesh:#?}");
    world.end().await;
}

/// What is on disk is older than what was told: who was told must not hear the older state.
#[tokio::test]
async fn who_lives_is_listened_to_before_what_is_remembered_is_told() {
    let world = kept().await;
    let world = world
        .restart_after(async |world| {
            world.c2.apply(PODS, pod("c2-c", "10.0.0.3"));
            let now = [("c2-b", "10.0.0.2", true), ("c2-c", "10.0.0.3", true)];
            world.c2.apply(SLICES, slice("hello-1", &now));
        })
        .await;
    let mesh = world.published().await;
    assert_eq!(mesh.generation, 1);
    assert_eq!(pods(&mesh, "c2"), set(&["c2-b", "c2-c"]));
    world.end().await;
}

#[tokio::test]
async fn what_was_removed_meanwhile_leaves_and_nothing_else_is_touched() {
    let mut world = kept().await;
    world.c2.stop().await;
    let mut world = world.restart().await;
    let before = world.published().await;
    assert!(is_whole(&before));
    let c1_live = |report: &Value| remembered(report, "c1").is_none();
    let report = world.until_report(c1_live).await;
    assert!(remembered(&report, "c2").is_some());
    world
        .c2
        .apply(SLICES, slice("hello-1", &[("c2-b", "10.0.0.2", true)]));
    world.c2.resume().await;
    let mut seen = Vec::new();
    let after = world
        .until(|mesh| {
            seen.push(pods(mesh, "c2"));
            pods(mesh, "c2") == set(&["c2-b"])
        })
        .await;
    assert!(seen.iter().all(|pods| pods.contains("c2-b")), "{seen:?}");
    let endpoint = |mesh: &Mesh| {
        let service = mesh.services.values().next().unwrap();
        service.shards[&"c2".into()]
            .endpoints
            .last()
            .cloned()
            .unwrap()
    };
    assert!(std::sync::Arc::ptr_eq(
        &endpoint(&before),
        &endpoint(&after)
    ));
    world
        .until_status(|c2| c2["state"] == "live" && c2["remembered"] == false)
        .await;
    assert_eq!(world.status.remembered(), []);
    world.end().await;
}

#[tokio::test]
async fn nothing_flickers_when_everybody_lives() {
    let mut world = kept().await;
    world.c1.stop().await;
    world.c2.stop().await;
    let mut world = world.restart().await;
    let old = std::fs::read_to_string(world.state().join("snapshot")).unwrap();
    let shard = |mesh: &Mesh| {
        let service = mesh.services.values().next().unwrap();
        service.shards[&"c2".into()].clone()
    };
    let mesh = world.published().await;
    let before = shard(&mesh);
    world.c1.resume().await;
    world.c2.resume().await;
    world
        .until_report(|_| world.status.remembered().is_empty())
        .await;
    assert!(std::sync::Arc::ptr_eq(&before, &shard(&world.now())));
    // The picture is the same, what is kept is not: it is of now.
    until_file(&world.state(), |file| file != old).await;
    world.end().await;
}

#[tokio::test]
async fn a_secret_deleted_meanwhile_ends_its_cluster() {
    let world = kept().await;
    let world = world
        .restart_after(async |world| world.c1.delete(SECRETS, "istio-system", "c2"))
        .await;
    world.published().await;
    world.until(|mesh| pods(mesh, "c2").is_empty()).await;
    world
        .until_report(|report| remembered(report, "c2").is_none())
        .await;
    let report = world.status.clusters();
    let dropped = &report["snapshot"]["dropped"][0];
    assert_eq!(dropped["cluster"], "c2");
    assert!(dropped["reason"].as_str().unwrap().contains("secret"));
    world.until_kept_without("c2-b").await;
    world.end().await;
}

#[tokio::test]
async fn another_cluster_behind_the_address_ends_what_was_remembered() {
    let world = kept().await;
    let world = world
        .restart_after(async |world| {
            world.c2.become_another("uid-9");
            // It never lists, so that only who it is can have ended it.
            world.c2.refuse(PODS);
        })
        .await;
    world.published().await;
    let mesh = world.until(|mesh| pods(mesh, "c2").is_empty()).await;
    assert_eq!(mesh.missing, ["c2".into()].into());
    let report = world
        .until_report(|report| report["snapshot"]["dropped"][0]["cluster"] == "c2")
        .await;
    let reason = report["snapshot"]["dropped"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("uid-9") && reason.contains("uid-2"),
        "{reason}"
    );
    assert_eq!(pods(&world.now(), "c1"), set(&["c1-a"]));
    world.end().await;
}

#[tokio::test]
async fn a_broken_file_is_set_aside_and_the_start_goes_on() {
    let world = kept().await;
    let world = world
        .restart_after(async |world| {
            let path = world.state().join("snapshot");
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        })
        .await;
    assert!(world.status.remembered().is_empty());
    let report = world.status.clusters();
    let reason = report["snapshot"]["setAside"].as_str().unwrap();
    assert!(reason.contains("SHA-256"), "{reason}");
    assert!(world.state().join("snapshot.set-aside").exists());
    world.until(is_whole).await;
    world.until_kept("c2-b").await;
    world.end().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_said_and_stops_nothing() {
    let world = kept().await;
    let world = world
        .restart_after(async |world| {
            std::fs::remove_dir_all(world.state()).unwrap();
            std::fs::write(world.state(), "a file").unwrap();
        })
        .await;
    world.until(is_whole).await;
    let report = world
        .until_report(|report| report["snapshot"]["lastError"].is_string())
        .await;
    assert!(
        report["snapshot"]["setAside"]
            .as_str()
            .unwrap()
            .contains("cannot be read")
    );
    std::fs::remove_file(world.state()).unwrap();
    world
        .until_report(|report| report["snapshot"]["lastError"].is_null())
        .await;
    world.until_kept("c2-b").await;
    world.end().await;
}

impl World {
    pub(crate) fn state(&self) -> std::path::PathBuf {
        self.directory.path().join("state")
    }

    /// Waits until the file holds this text.
    async fn until_kept(&self, text: &str) {
        until_file(&self.state(), |file| file.contains(text)).await;
    }

    async fn until_kept_without(&self, text: &str) {
        until_file(&self.state(), |file| !file.contains(text)).await;
    }
}

async fn until_file(state: &Path, wanted: impl Fn(&str) -> bool) {
    let polled = async {
        loop {
            let read = std::fs::read_to_string(state.join("snapshot"));
            if read.is_ok_and(|file| wanted(&file)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(30), polled).await;
    found.expect("the file becomes so");
}
