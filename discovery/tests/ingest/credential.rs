//! Credentials come and go under a running client.

use serde_json::Value;

use crate::{
    api_server::{ApiServer, PODS, SLICES},
    world::{World, cluster, kubeconfig, pod, pods, set, slice},
};

#[tokio::test]
async fn a_new_token_is_taken_in_place_and_no_list_follows() {
    let world = World::start().await;
    world.until_status(|c2| c2["state"] == "live").await;
    world.c2.take_requests();
    world.put_secret("c2", "new");
    world.c2.accept_only("new");
    // The old token is dead, and so is every connection that was opened with it.
    world.c2.cut();
    let asked = world
        .until_asked(|a| a.path == PODS && a.token == "new" && a.since.is_some())
        .await;
    assert!(asked.iter().all(|a| a.since.is_some()), "{asked:?}");
    world.c2.apply(PODS, pod("c2-b", "10.0.0.2"));
    let both = [("c2-a", "10.0.0.1", true), ("c2-b", "10.0.0.2", true)];
    world.c2.apply(SLICES, slice("hello-1", &both));
    world
        .until(|mesh| pods(mesh, "c2") == set(&["c2-a", "c2-b"]))
        .await;
    world.end().await;
}

#[tokio::test]
async fn a_token_that_is_refused_for_good_makes_stale_and_removes_nothing() {
    let world = World::start().await;
    world.until_status(|c2| c2["state"] == "live").await;
    let before = world.now();
    world.c2.accept_only("another");
    let stale = world.until_status(|c2| c2["state"] == "stale").await;
    assert!(stale["lastError"].as_str().unwrap().contains("401"));
    assert_eq!(world.now().services, before.services);
    world.put_secret("c2", "another");
    world.until_status(|c2| c2["state"] == "live").await;
    world.c2.apply(SLICES, slice("hello-1", &[]));
    world.until(|mesh| pods(mesh, "c2").is_empty()).await;
    world.end().await;
}

#[tokio::test]
async fn another_address_of_the_same_cluster_is_gone_over_to_without_a_gap() {
    let world = World::start().await;
    // Both pods are known before: what is told of a slice and what of a pod race each other.
    world.c2.apply(PODS, pod("c2-b", "10.0.0.2"));
    let is_live = |c2: &Value| c2["state"] == "live" && c2["objectsByKind"]["pods"] == 2;
    world.until_status(is_live).await;
    let second = cluster("uid-2", "t2").await;
    second.apply(PODS, pod("c2-b", "10.0.0.2"));
    second.apply(SLICES, slice("hello-1", &[("c2-b", "10.0.0.2", true)]));
    world.put_secret_to("c2", &kubeconfig(&second, "t2"));
    let mut seen = Vec::new();
    world
        .until(|mesh| {
            seen.push(pods(mesh, "c2"));
            pods(mesh, "c2") == set(&["c2-b"])
        })
        .await;
    assert!(seen.iter().all(|pods| !pods.is_empty()), "{seen:?}");
    world.end().await;
}

#[tokio::test]
async fn the_address_of_another_cluster_is_refused_and_the_old_one_stays() {
    let world = World::start().await;
    world.until_status(|c2| c2["state"] == "live").await;
    let before = world.now();
    let stranger = ApiServer::start("uid-9", "t2").await;
    world.put_secret_to("c2", &kubeconfig(&stranger, "t2"));
    let marked = world
        .until_status(|c2| {
            c2["lastError"]
                .as_str()
                .is_some_and(|e| e.contains("uid-9"))
        })
        .await;
    assert_eq!(marked["uid"], "uid-2");
    assert_eq!(stranger.take_requests(), []);
    assert_eq!(world.now().services, before.services);
    // What still runs at the old address goes on.
    world.c2.apply(SLICES, slice("hello-1", &[]));
    world.until(|mesh| pods(mesh, "c2").is_empty()).await;
    world.end().await;
}

#[tokio::test]
async fn another_cluster_behind_the_same_address_is_not_taken_in() {
    let mut world = World::start().await;
    world.until_status(|c2| c2["state"] == "live").await;
    let before = world.now();
    world.c2.stop().await;
    world.c2.become_another("uid-9");
    world.c2.apply(SLICES, slice("hello-1", &[]));
    world.c2.compact();
    world.c2.resume().await;
    world
        .until_status(|c2| {
            c2["state"] == "stale"
                && c2["lastError"]
                    .as_str()
                    .is_some_and(|e| e.contains("uid-9"))
        })
        .await;
    assert_eq!(world.now().services, before.services);
    world.c2.become_another("uid-2");
    world.until(|mesh| pods(mesh, "c2").is_empty()).await;
    world.until_status(|c2| c2["state"] == "live").await;
    world.end().await;
}

#[tokio::test]
async fn another_cluster_is_found_out_before_its_list_is_believed() {
    let mut world = World::without_heartbeats().await;
    let before = world.now();
    world.c2.stop().await;
    world.c2.become_another("uid-9");
    world.c2.apply(SLICES, slice("hello-1", &[]));
    world.c2.compact();
    world.c2.resume().await;
    world
        .until_status(|c2| {
            c2["lastError"]
                .as_str()
                .is_some_and(|e| e.contains("uid-9"))
        })
        .await;
    assert_eq!(world.now().services, before.services);
    world.end().await;
}
