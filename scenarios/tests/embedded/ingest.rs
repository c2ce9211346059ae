//! Discovery follows embedded clusters as it follows real ones.

use k8s_openapi::api::apps::v1::Deployment;
use scenarios::apiserver::Keep;
use serde_json::json;

use crate::world::World;

async fn scale(world: &World, replicas: u32) {
    let patch = json!({ "spec": { "replicas": replicas } });
    let scaled = world
        .c2
        .admin()
        .merge::<Deployment>(Some("sample"), "hello", &patch);
    scaled.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_follows_pods_that_come_and_go() {
    let world = World::start().await.unwrap();
    world.until_pods("c1", 2).await;
    let before = world.pods("c2");
    scale(&world, 3).await;
    let more = world.until_pods("c2", 3).await;
    assert!(before.is_subset(&more), "{before:?} {more:?}");
    scale(&world, 1).await;
    let left = world.until_pods("c2", 1).await;
    assert!(left.is_subset(&before), "the youngest go first: {left:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_history_is() {
    let world = World::start().await.unwrap();
    world.c2.refuse().await;
    // What happens meanwhile is in the store, and not in the history.
    let now = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: hello, namespace: sample}\n";
    let text = serde_yaml_ng::to_string(&json!({ "spec": {
        "replicas": 4,
        "selector": { "matchLabels": { "app": "hello" } },
        "template": {
            "metadata": { "labels": { "app": "hello", "security.istio.io/tlsMode": "istio" } },
            "spec": { "containers": [
                { "name": "app", "image": "hello", "ports": [{ "name": "web", "containerPort": 5000 }] },
            ] },
        },
    } }));
    world.c2.load(&format!("{now}{}", text.unwrap())).unwrap();
    world.c2.compact();
    assert_eq!(world.pods("c2").len(), 2);
    world.c2.listen_again().await.unwrap();
    world.until_pods("c2", 4).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_behind_the_address_is_not_believed() {
    let world = World::start().await.unwrap();
    let before = world.pods("c2");
    world.c2.become_another(Keep::Nothing).await.unwrap();
    world.until_state("stale").await;
    assert_eq!(world.pods("c2"), before, "unknown is not empty");
    world.end().await;
}
