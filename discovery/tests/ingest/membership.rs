//! Secrets make clusters members, and end it.

use crate::world::{OFTEN, World, cluster, kubeconfig, pods, put_secret, set};

#[tokio::test]
async fn a_deleted_secret_takes_its_cluster_along() {
    let world = World::start().await;
    world.delete_secret("c2");
    let mesh = world
        .until(|mesh| !mesh.clusters.contains_key(&"c2".into()))
        .await;
    assert_eq!(pods(&mesh, "c2"), set(&[]));
    assert_eq!(pods(&mesh, "c1"), set(&["c1-a"]));
    world
        .until_report(|report| report["clusters"].as_array().unwrap().len() == 1)
        .await;
    assert!(!world.status.metrics().contains("cluster=\"c2\""));
    world.put_secret("c2", "t2");
    world.until(|mesh| pods(mesh, "c2") == set(&["c2-a"])).await;
    world.end().await;
}

#[tokio::test]
async fn a_second_secret_is_refused_and_adopted_when_the_first_goes() {
    let world = World::start().await;
    world.put_secret("another", "t2");
    let refused = world
        .until_report(|report| report["secrets"]["refused"].as_array().unwrap().len() == 1)
        .await;
    let refusal = &refused["secrets"]["refused"][0];
    assert_eq!(
        (&refusal["secret"], &refusal["key"]),
        (&"another".into(), &"c2".into())
    );
    assert!(
        refusal["reason"]
            .as_str()
            .unwrap()
            .contains("already given by the secret c2")
    );
    let mut always = true;
    let mut watching = world.mesh.clone();
    let watcher = async {
        while watching.changed().await.is_ok() {
            always &= pods(&watching.borrow_and_update(), "c2") == set(&["c2-a"]);
        }
    };
    let adopted = async {
        world.delete_secret("c2");
        world.until_status(|c2| c2["secret"] == "another").await
    };
    tokio::select! {
        () = watcher => unreachable!("the ingest runs"),
        _ = adopted => {}
    }
    assert!(always, "nothing left meanwhile");
    world.end().await;
}

#[tokio::test]
async fn a_bad_kubeconfig_is_named_and_costs_nothing_else() {
    let world = World::start().await;
    let before = world.now();
    let exec = "clusters: [{name: x, cluster: {server: 'https://h'}}]
contexts: [{name: x, context: {cluster: x, user: x}}]
current-context: x
users: [{name: x, user: {token: s3cret, exec: {command: /bin/sh}}}]
";
    world.put_secret_to("c2", exec);
    let report = world
        .until_report(|report| report["secrets"]["refused"].as_array().unwrap().len() == 1)
        .await;
    let refusal = &report["secrets"]["refused"][0];
    assert_eq!(refusal["field"], "users[x].exec");
    assert!(refusal["remedy"].as_str().unwrap().contains("token"));
    assert!(!report.to_string().contains("s3cret"));
    assert_eq!(world.now().services, before.services);
    world.put_secret("c2", "t2");
    world
        .until_report(|report| report["secrets"]["refused"].as_array().unwrap().is_empty())
        .await;
    world.until_status(|c2| c2["state"] == "live").await;
    world.end().await;
}

#[tokio::test]
async fn the_first_picture_waits_for_every_member_that_lives() {
    let c1 = cluster("uid-1", "t1").await;
    let c2 = cluster("uid-2", "t2").await;
    put_secret(&c1, "c2", &kubeconfig(&c2, "t2"));
    let world = World::over(c1, c2, OFTEN).await;
    let mesh = world.until(|mesh| !mesh.clusters.is_empty()).await;
    assert_eq!(mesh.generation, 1);
    assert_eq!(pods(&mesh, "c1"), set(&["c1-a"]));
    assert_eq!(pods(&mesh, "c2"), set(&["c2-a"]));
    world.end().await;
}
