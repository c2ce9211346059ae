//! A silent watch says from time to time where it is.

use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api,
    api::{ListParams, WatchParams},
    core::WatchEvent,
};
use scenarios::apiserver::{ApiServer, ApiServerConfig};

use crate::world::LONG;

#[tokio::test]
async fn a_bookmark_names_a_version_that_another_type_has_reached() {
    let mut config = ApiServerConfig::new("c1");
    config.rhythm.bookmark = Duration::from_millis(50);
    let server = ApiServer::start(config).await.unwrap();
    let maps: Api<ConfigMap> = Api::all(server.admin().client());
    let since = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let events = maps.watch(&WatchParams::default(), &since).await.unwrap();
    pin_mut!(events);
    server
        .load("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: default}}")
        .unwrap();
    let secrets: Api<Secret> = Api::all(server.admin().client());
    let now = secrets
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    assert_ne!(since, now);
    let reached = async {
        loop {
            match events.next().await {
                Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                    if bookmark.metadata.resource_version == now {
                        return;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(LONG, reached)
        .await
        .expect("a bookmark");
    // A reader that goes on from there has missed nothing, and is answered.
    let resumed = maps.watch(&WatchParams::default(), &now).await.unwrap();
    pin_mut!(resumed);
    server
        .load("{apiVersion: v1, kind: ConfigMap, metadata: {name: m, namespace: default}}")
        .unwrap();
    let added = async {
        loop {
            match resumed.next().await {
                Some(Ok(WatchEvent::Added(map))) => return map,
                Some(Ok(WatchEvent::Bookmark(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let map = tokio::time::timeout(LONG, added).await.expect("an event");
    assert_eq!(map.metadata.name.as_deref(), Some("m"));
    server.stop().await;
}
