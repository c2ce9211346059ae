//! What is observed is in the picture, once, and whole.

use serde_json::json;

use crate::{
    api_server::{MCS, PODS, SERVICE_EXPORTS, SERVICES, SLICES},
    world::{World, cluster, hello, pod, pods, set, slice},
};

#[tokio::test]
async fn both_clusters_are_seen_and_all_ends_with_the_token() {
    let world = World::start().await;
    let mesh = world.now();
    assert_eq!(pods(&mesh, "c1"), set(&["c1-a"]));
    let c2 = &mesh.clusters[&"c2".into()];
    assert_eq!(c2.network.as_ref().unwrap().as_str(), "n-c2");
    assert!(mesh.missing.is_empty());
    assert!(world.status.ready());
    world.end().await;
}

#[tokio::test]
async fn a_slice_before_its_pod_is_no_endpoint_until_the_pod_comes() {
    let world = World::start().await;
    let both = [("c2-a", "10.0.0.1", true), ("c2-b", "10.0.0.2", true)];
    world.c2.apply(SLICES, slice("hello-1", &both));
    let waiting = world
        .until_status(|c2| c2["ignoredEndpoints"]["unknown_pod"] == 1)
        .await;
    assert_eq!(waiting["endpoints"], 1);
    world.c2.apply(PODS, pod("c2-b", "10.0.0.2"));
    let mesh = world.until(|mesh| pods(mesh, "c2").len() == 2).await;
    let service = mesh.services.values().next().unwrap();
    let endpoints = &service.shards[&"c2".into()].endpoints;
    let identity = "spiffe://cluster.local/ns/sample/sa/hello";
    assert!(endpoints.iter().all(|e| e.identity.to_string() == identity));
    world.end().await;
}

#[tokio::test]
async fn the_last_endpoint_leaves_when_pods_are_known_as_far_as_its_slice() {
    let world = World::start().await;
    let strange = slice("hello-1", &[("c2-b", "10.0.0.2", true)]);
    world.c2.apply(SLICES, strange);
    let held = world
        .until_status(|c2| c2["ignoredEndpoints"]["unknown_pod"] == 1)
        .await;
    let note = held["notes"][0].as_str().unwrap();
    assert!(note.starts_with("service sample/hello: the pods"), "{note}");
    assert_eq!(pods(&world.now(), "c2"), set(&["c2-a"]));
    world.c2.bookmark_pods();
    world.until(|mesh| pods(mesh, "c2").is_empty()).await;
    let settled = world.until_status(|c2| c2["endpoints"] == 0).await;
    assert_eq!(settled["notes"], json!([]));
    world.end().await;
}

#[tokio::test]
async fn what_is_deleted_or_unmarked_leaves() {
    let world = World::start().await;
    world.c2.apply(SERVICES, hello(false));
    world.until(|mesh| pods(mesh, "c2").is_empty()).await;
    world.c2.apply(SERVICES, hello(true));
    world.until(|mesh| pods(mesh, "c2") == set(&["c2-a"])).await;
    world.c1.delete(PODS, "sample", "c1-a");
    world.until(|mesh| pods(mesh, "c1").is_empty()).await;
    world.end().await;
}

#[tokio::test]
async fn service_exports_count_when_their_kind_appears_later() {
    let world = World::start().await;
    world.c2.apply(SERVICES, hello(false));
    world.until(|mesh| pods(mesh, "c2").is_empty()).await;
    let report = world.report_of("c2");
    assert!(
        report["watches"]["serviceexports"]
            .as_str()
            .unwrap()
            .starts_with("absent: 404")
    );
    let export = json!({"metadata": {"name": "hello", "namespace": "sample"}});
    world.c2.apply(SERVICE_EXPORTS, export);
    world.c2.install(MCS);
    world.until(|mesh| pods(mesh, "c2") == set(&["c2-a"])).await;
    world.end().await;
}

#[tokio::test]
async fn a_member_that_is_dead_at_the_start_is_missing_and_holds_nothing_back_for_long() {
    let mut c2 = cluster("uid-2", "t2").await;
    c2.stop().await;
    let mut world = World::without_secret(c2).await;
    world.put_secret("c2", "t2");
    let mesh = world.until(|mesh| pods(mesh, "c1") == set(&["c1-a"])).await;
    assert!(!mesh.clusters.contains_key(&"c2".into()));
    world
        .until(|mesh| mesh.missing == ["c2".into()].into())
        .await;
    assert_eq!(world.status.missing(), ["c2".into()]);
    assert_eq!(world.report_of("c2")["state"], "connecting");
    world.c2.resume().await;
    world
        .until(|mesh| mesh.missing.is_empty() && pods(mesh, "c2") == set(&["c2-a"]))
        .await;
    world.end().await;
}

#[tokio::test]
async fn the_metrics_page_has_these_series() {
    let world = World::start().await;
    let page = world.status.metrics();
    let mut names: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "isthmus_discovery_cluster_state",
            "isthmus_discovery_endpoints",
            "isthmus_discovery_events_total",
            "isthmus_discovery_generation",
            "isthmus_discovery_ignored_endpoints",
            "isthmus_discovery_lists_total",
            "isthmus_discovery_missing_clusters",
            "isthmus_discovery_objects",
            "isthmus_discovery_proof_of_life_age_seconds",
            "isthmus_discovery_publications_total",
            "isthmus_discovery_refused_credentials",
            "isthmus_discovery_watch_failures_total",
        ]
    );
    assert!(page.contains(r#"isthmus_discovery_cluster_state{cluster="c2",state="live"} 1"#));
    assert!(page.contains(r#"isthmus_discovery_endpoints{cluster="c2",ready="true"} 1"#));
    world.end().await;
}
