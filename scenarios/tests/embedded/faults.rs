//! Each fault, as somebody sees it who asks.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{ListParams, WatchParams},
    core::WatchEvent,
};
use scenarios::apiserver::{ApiServer, ApiServerConfig, Keep};
use serde_json::json;

use crate::world::{LONG, World};

async fn server() -> ApiServer {
    ApiServer::start(ApiServerConfig::new("c1")).await.unwrap()
}

fn namespaces(server: &ApiServer) -> Api<Namespace> {
    Api::all(server.admin().client())
}

/// A watch that hears of changes only.
fn quiet() -> WatchParams {
    WatchParams {
        bookmarks: false,
        ..WatchParams::default()
    }
}

async fn list(server: &ApiServer) -> Result<usize, u16> {
    let listed = namespaces(server).list(&ListParams::default()).await;
    listed
        .map(|list| list.items.len())
        .map_err(|error| match error {
            kube::Error::Api(status) => status.code,
            _ => 0,
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_accepts_and_says_nothing_until_it_thaws() {
    let world = World::start().await.unwrap();
    let before = world.pods("c2");
    world.c2.freeze();
    world.until_state("stale").await;
    tokio::net::TcpStream::connect(world.c2.address())
        .await
        .unwrap();
    assert_eq!(world.pods("c2"), before);
    world.c2.thaw();
    world.until_state("live").await;
    world.end().await;
}

#[tokio::test]
async fn a_watch_stalls_while_its_server_is_frozen_and_loses_nothing() {
    let server = server().await;
    let api = namespaces(&server);
    let events = api.watch(&quiet(), "0").await.unwrap();
    pin_mut!(events);
    for _ in 0..4 {
        assert!(matches!(
            events.next().await,
            Some(Ok(WatchEvent::Added(_)))
        ));
    }
    server.freeze();
    server
        .load("{apiVersion: v1, kind: Namespace, metadata: {name: late}}")
        .unwrap();
    let silent = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
    assert!(silent.is_err(), "nothing comes through: {silent:?}");
    server.thaw();
    let heard = tokio::time::timeout(LONG, events.next()).await.unwrap();
    match heard {
        Some(Ok(WatchEvent::Added(namespace))) => {
            assert_eq!(namespace.metadata.name.as_deref(), Some("late"));
        }
        other => panic!("{other:?}"),
    }
    server.stop().await;
}

#[tokio::test]
async fn a_reset_cuts_what_runs_and_new_connections_are_welcome() {
    let server = server().await;
    let api = namespaces(&server);
    let events = api.watch(&quiet(), "0").await.unwrap();
    pin_mut!(events);
    for _ in 0..4 {
        events.next().await.unwrap().unwrap();
    }
    server.reset().await;
    let ended = tokio::time::timeout(LONG, events.next())
        .await
        .expect("it is cut");
    assert!(!matches!(ended, Some(Ok(_))), "{ended:?}");
    assert_eq!(list(&server).await, Ok(4));
    server.stop().await;
}

#[tokio::test]
async fn a_dead_server_has_a_closed_port_and_comes_back_with_all_it_had() {
    let server = server().await;
    assert_eq!(list(&server).await, Ok(4));
    server.refuse().await;
    let refused = tokio::net::TcpStream::connect(server.address()).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    assert_eq!(list(&server).await, Err(0));
    server.listen_again().await.unwrap();
    assert_eq!(list(&server).await, Ok(4));
    server.stop().await;
}

#[tokio::test]
async fn every_request_is_answered_what_was_said_and_watches_go_on() {
    let server = server().await;
    let api = namespaces(&server);
    let events = api.watch(&quiet(), "0").await.unwrap();
    pin_mut!(events);
    for _ in 0..4 {
        events.next().await.unwrap().unwrap();
    }
    for code in [401, 403, 410, 500] {
        server.answer(Some(code));
        assert_eq!(list(&server).await, Err(code));
    }
    server
        .load("{apiVersion: v1, kind: Namespace, metadata: {name: late}}")
        .unwrap();
    assert!(matches!(
        events.next().await,
        Some(Ok(WatchEvent::Added(_)))
    ));
    server.answer(None);
    assert_eq!(list(&server).await, Ok(5));
    server.stop().await;
}

#[tokio::test]
async fn who_is_told_that_a_server_is_busy_asks_again() {
    let server = server().await;
    server.answer(Some(429));
    let begun = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.answer(None);
    };
    // kube-rs waits as the answer says, and is not told of it.
    let (listed, ()) = tokio::join!(list(&server), later);
    assert_eq!(listed, Ok(4));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    server.stop().await;
}

#[tokio::test]
async fn a_slow_server_is_slow() {
    let server = server().await;
    let delay = Duration::from_millis(200);
    server.slow(delay);
    let begun = Instant::now();
    assert_eq!(list(&server).await, Ok(4));
    assert!(begun.elapsed() >= delay);
    server.slow(Duration::ZERO);
    server.stop().await;
}

#[tokio::test]
async fn a_compaction_ends_the_past_and_not_the_watches_that_run() {
    let server = server().await;
    let api = namespaces(&server);
    let version = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let running = api.watch(&WatchParams::default(), &version).await.unwrap();
    server.compact();
    server
        .load("{apiVersion: v1, kind: Namespace, metadata: {name: late}}")
        .unwrap();
    pin_mut!(running);
    assert!(matches!(
        running.next().await,
        Some(Ok(WatchEvent::Added(_)))
    ));
    let resumed = api.watch(&WatchParams::default(), &version).await.unwrap();
    pin_mut!(resumed);
    match resumed.next().await {
        Some(Ok(WatchEvent::Error(status))) => {
            assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
        }
        other => panic!("{other:?}"),
    }
    server.stop().await;
}

#[tokio::test]
async fn another_cluster_has_another_identity_and_what_was_kept_of_it() {
    let server = server().await;
    let uid = async |server: &ApiServer| {
        let found = namespaces(server).get("kube-system").await.unwrap();
        found.metadata.uid.unwrap()
    };
    let before = uid(&server).await;
    assert_eq!(before, uid(&server).await);
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "x", "namespace": "default" }, "data": { "a": "b" },
    });
    server.load(&object.to_string()).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().client(), "default");
    let old = maps.get("x").await.unwrap();
    server.become_another(Keep::Objects).await.unwrap();
    assert_ne!(before, uid(&server).await);
    let new = maps.get("x").await.unwrap();
    assert_eq!(new.data, old.data);
    assert_ne!(new.metadata.uid, old.metadata.uid);
    server.become_another(Keep::Nothing).await.unwrap();
    assert!(maps.get("x").await.is_err());
    server.stop().await;
}
