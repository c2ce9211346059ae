//! Pods that an embedding world runs.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Event, Pod},
    discovery::v1::EndpointSlice,
};
use scenarios::{
    apiserver::{ApiServer, ApiServerConfig, Kubelet, Report},
    probe::eventually,
};
use serde_json::json;
use tokio::sync::watch;

use crate::world::LONG;

/// Runs every pod at one address; what happens to each is noted, and ready is what is said.
#[derive(Clone)]
struct Noted {
    notes: Arc<Mutex<Vec<String>>>,
    ready: watch::Sender<bool>,
    crash: watch::Sender<bool>,
}

impl Kubelet for Noted {
    fn run(&self, pod: Pod, report: Report) -> BoxFuture<'static, ()> {
        let (noted, mut ready) = (self.clone(), self.ready.subscribe());
        let mut crash = self.crash.subscribe();
        let name = pod.metadata.generate_name.or(pod.metadata.name).unwrap();
        Box::pin(async move {
            noted.note(format!("start {name}"));
            report.running(IpAddr::from([10, 1, 2, 3]), *ready.borrow_and_update());
            crash.mark_unchanged();
            loop {
                tokio::select! {
                    () = report.stopped() => break,
                    _ = crash.changed() => return,
                    Ok(()) = ready.changed() => report.ready(*ready.borrow_and_update()),
                }
            }
            noted.note(format!("stop {name}"));
        })
    }
}

impl Noted {
    fn new() -> Self {
        Self {
            notes: Arc::default(),
            ready: watch::Sender::new(false),
            crash: watch::Sender::new(false),
        }
    }

    fn note(&self, note: String) {
        self.notes.lock().unwrap().push(note);
    }

    fn count(&self, note: &str) -> usize {
        self.notes
            .lock()
            .unwrap()
            .iter()
            .filter(|n| n.starts_with(note))
            .count()
    }
}

async fn server(noted: &Noted) -> ApiServer {
    let mut config = ApiServerConfig::new("c1");
    config.kubelet = Some(Arc::new(noted.clone()));
    config
        .node_labels
        .insert("topology.kubernetes.io/zone".into(), "z1".into());
    let server = ApiServer::start(config).await.unwrap();
    server.load(HELLO).unwrap();
    server
}

async fn endpoints(server: &ApiServer) -> Vec<(String, bool, Option<String>)> {
    let slices = server
        .admin()
        .list::<EndpointSlice>("default", "kubernetes.io/service-name=hello");
    let slices = slices.await.unwrap();
    let all = slices
        .into_iter()
        .flat_map(|slice| slice.endpoints.unwrap_or_default());
    all.map(|endpoint| {
        let ready = endpoint
            .conditions
            .and_then(|c| c.ready)
            .unwrap_or_default();
        (endpoint.addresses[0].clone(), ready, endpoint.zone)
    })
    .collect()
}

async fn until_ready(server: &ApiServer, count: usize) {
    let found = eventually("ready endpoints", LONG, async || {
        let all = endpoints(server).await;
        match all.iter().filter(|(_, ready, _)| *ready).count() {
            found if found == count => Ok(()),
            _ => anyhow::bail!("{all:?}"),
        }
    });
    found.await.unwrap();
}

#[tokio::test]
async fn a_deployment_runs_apps_whose_readiness_is_in_its_slices() {
    let noted = Noted::new();
    let server = server(&noted).await;
    let started = eventually("two start", LONG, async || match noted.count("start") {
        2 => Ok(()),
        other => anyhow::bail!("{other}"),
    });
    started.await.unwrap();
    until_ready(&server, 0).await;
    noted.ready.send_replace(true);
    until_ready(&server, 2).await;
    let one = ("10.1.2.3".to_owned(), true, Some("z1".to_owned()));
    assert_eq!(endpoints(&server).await, [one.clone(), one]);
    noted.ready.send_replace(false);
    until_ready(&server, 0).await;
    server.stop().await;
}

#[tokio::test]
async fn apps_are_stopped_before_their_pods_are_gone() {
    let noted = Noted::new();
    let server = server(&noted).await;
    noted.ready.send_replace(true);
    until_ready(&server, 2).await;
    let patch = json!({ "spec": { "replicas": 0 } });
    server
        .admin()
        .merge::<Deployment>(Some("default"), "hello", &patch)
        .await
        .unwrap();
    let gone = eventually("no pods", LONG, async || {
        let pods = server.admin().list::<Pod>("default", "app=hello").await?;
        anyhow::ensure!(pods.is_empty(), "{}", pods.len());
        Ok(())
    });
    gone.await.unwrap();
    assert_eq!(noted.count("stop"), 2);
    let events = server.admin().list::<Event>("default", "").await.unwrap();
    let told = events.iter().filter_map(|event| event.message.as_deref());
    assert!(
        told.into_iter()
            .any(|text| text.starts_with("Deleted pod: hello-"))
    );
    server.stop().await;
}

#[tokio::test]
async fn an_app_that_ends_by_itself_is_run_again() {
    let noted = Noted::new();
    let server = server(&noted).await;
    noted.ready.send_replace(true);
    until_ready(&server, 2).await;
    noted.crash.send_replace(true);
    let restarted = eventually("both run again", LONG, async || {
        let pods = server.admin().list::<Pod>("default", "app=hello").await?;
        let restarts = pods.iter().filter_map(|pod| {
            pod.status
                .as_ref()?
                .container_statuses
                .as_ref()?
                .first()
                .map(|c| c.restart_count)
        });
        let restarts: Vec<_> = restarts.collect();
        anyhow::ensure!(restarts == [1, 1], "{restarts:?}");
        Ok(())
    });
    restarted.await.unwrap();
    until_ready(&server, 2).await;
    assert_eq!((noted.count("start"), noted.count("stop")), (4, 0));
    tokio::time::timeout(Duration::from_secs(60), server.stop())
        .await
        .unwrap();
}

const HELLO: &str = r#"
apiVersion: v1
kind: Service
metadata: { name: hello, namespace: default }
spec: { selector: { app: hello }, ports: [{ port: 80, targetPort: web }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: hello, namespace: default }
spec:
  replicas: 2
  selector: { matchLabels: { app: hello } }
  template:
    metadata: { labels: { app: hello } }
    spec:
      containers: [{ name: app, image: hello, ports: [{ name: web, containerPort: 5000 }] }]
"#;
