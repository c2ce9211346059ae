//! An API server that is gone, silent or forgetful takes nothing out of the picture.

use std::time::Duration;

use crate::{
    api_server::{PODS, SLICES},
    world::{World, cluster, kubeconfig, pod, pods, put_secret, set, slice},
};

#[tokio::test]
async fn a_dead_api_server_removes_nothing_and_its_watches_resume() {
    let mut world = World::start().await;
    world.until_status(|c2| c2["state"] == "live").await;
    let before = world.now();
    world.c2.take_requests();
    world.c2.stop().await;
    world.c2.apply(PODS, pod("c2-b", "10.0.0.2"));
    let both = [("c2-a", "10.0.0.1", true), ("c2-b", "10.0.0.2", true)];
    world.c2.apply(SLICES, slice("hello-1", &both));
    let stale = world.until_status(|c2| c2["state"] == "stale").await;
    assert!(stale["proofOfLifeAgeMs"].as_u64().unwrap() >= 400);
    assert!(stale["lastError"].is_string());
    assert_eq!(world.now().services, before.services);
    world.c2.resume().await;
    world
        .until(|mesh| pods(mesh, "c2") == set(&["c2-a", "c2-b"]))
        .await;
    world.until_status(|c2| c2["state"] == "live").await;
    let asked = world.c2.take_requests();
    let lists: Vec<_> = asked.iter().filter(|a| a.since.is_none()).collect();
    assert_eq!(lists, Vec::<&_>::new(), "watches resumed");
    world.end().await;
}

#[tokio::test]
async fn a_silent_api_server_is_stale_though_no_connection_broke() {
    let (c1, c2) = (cluster("uid-1", "t1").await, cluster("uid-2", "t2").await);
    put_secret(&c1, "c2", &kubeconfig(&c2, "t2"));
    let impatient = "interval: 50ms, timeout: 500ms, staleAfter: 400ms";
    let world = World::over(c1, c2, impatient).await;
    world.until_status(|c2| c2["state"] == "live").await;
    let before = world.until(|mesh| pods(mesh, "c2") == set(&["c2-a"])).await;
    world.c2.fall_silent();
    let says_why = |c2: &serde_json::Value| {
        let reason = c2["lastError"].as_str().unwrap_or_default();
        reason.contains("no answer in 500ms")
    };
    world
        .until_status(|c2| c2["state"] == "stale" && says_why(c2))
        .await;
    assert_eq!(world.now().services, before.services);
    world.end().await;
}

#[tokio::test]
async fn lost_history_leads_to_a_list_and_only_to_real_differences() {
    let mut world = World::start().await;
    let both = [("c2-a", "10.0.0.1", true), ("c2-b", "10.0.0.2", true)];
    world.c2.apply(PODS, pod("c2-b", "10.0.0.2"));
    world.c2.apply(SLICES, slice("hello-1", &both));
    let before = world.until(|mesh| pods(mesh, "c2").len() == 2).await;
    world.c2.take_requests();
    world.c2.stop().await;
    world
        .c2
        .apply(SLICES, slice("hello-1", &[("c2-b", "10.0.0.2", true)]));
    world.c2.compact();
    world.c2.resume().await;
    let mut seen = Vec::new();
    let after = world
        .until(|mesh| {
            seen.push(pods(mesh, "c2"));
            pods(mesh, "c2") == set(&["c2-b"])
        })
        .await;
    assert!(seen.iter().all(|pods| pods.contains("c2-b")), "{seen:?}");
    let asked = world.c2.take_requests();
    assert!(
        asked.iter().any(|a| a.path == SLICES && a.since.is_none()),
        "{asked:?}"
    );
    let endpoint = |mesh: &discovery::model::Mesh| {
        let service = mesh.services.values().next().unwrap();
        service.shards[&"c2".into()]
            .endpoints
            .last()
            .unwrap()
            .clone()
    };
    assert!(std::sync::Arc::ptr_eq(
        &endpoint(&before),
        &endpoint(&after)
    ));
    world.end().await;
}

#[tokio::test]
async fn the_own_api_server_may_die_too() {
    let mut world = World::start().await;
    let before = world.now();
    world.c1.stop().await;
    world
        .until_report(|report| report["secrets"]["lastError"].is_string())
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.report_of("c1")["state"], "stale");
    assert_eq!(world.now().services, before.services);
    assert_eq!(world.now().clusters, before.clusters);
    world.c1.resume().await;
    world
        .until_report(|report| report["secrets"]["lastError"].is_null())
        .await;
    world.end().await;
}

#[tokio::test]
async fn an_event_is_a_proof_of_life() {
    let world = World::without_heartbeats().await;
    let age = |c2: &serde_json::Value| c2["proofOfLifeAgeMs"].as_u64().unwrap();
    world.until_status(|c2| age(c2) > 500).await;
    world.c2.apply(PODS, pod("c2-b", "10.0.0.2"));
    world.until_status(|c2| age(c2) < 500).await;
    world.end().await;
}
