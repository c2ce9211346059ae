//! Many clusters in one process: what they weigh, and how fast they are read.

use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use scenarios::apiserver::{ApiServer, ApiServerConfig};
use serde_json::{Value, json};

/// Resident memory of this process, in MiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<usize>()
        .unwrap()
        / 1024
}

/// A pod as injected ones are, about.
fn pod(cluster: usize, pod: usize) -> Value {
    let address = format!("10.{cluster}.{}.{}", pod / 250, pod % 250);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("hello-6d4cf56db6-{pod}"),
            "namespace": "default",
            "labels": {
                "app": "hello", "pod-template-hash": "6d4cf56db6", "version": "v1",
                "security.istio.io/tlsMode": "istio",
            },
            "annotations": {
                "istio.io/rev": "default", "kubectl.kubernetes.io/default-container": "app",
            },
        },
        "spec": {
            "nodeName": format!("node-{cluster}"),
            "serviceAccountName": "hello",
            "containers": [{
                "name": "app",
                "image": "registry.example/hello:1.0",
                "ports": [{ "name": "http", "containerPort": 5000 }],
                "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } },
                "readinessProbe": { "httpGet": { "path": "/ready", "port": 5000 } },
            }],
        },
        "status": {
            "phase": "Running", "podIP": address, "hostIP": "192.0.2.1",
            "conditions": [
                { "type": "Ready", "status": "True" },
                { "type": "ContainersReady", "status": "True" },
            ],
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_weighs_a_few_kib() {
    weigh(5).await;
}

/// `cargo test --release -p scenarios --test embedded -- --ignored --nocapture hundred`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute in a debug build"]
async fn a_hundred_clusters_of_a_thousand_pods_fit_into_one_process() {
    weigh(100).await;
}

async fn weigh(clusters: usize) {
    let before = resident();
    let begun = Instant::now();
    let mut servers = Vec::new();
    for cluster in 0..clusters {
        let config = ApiServerConfig::new(&format!("c{cluster}"));
        let server = ApiServer::start(config).await.unwrap();
        for number in 0..PODS {
            server.apply(pod(cluster, number)).unwrap();
        }
        servers.push(server);
    }
    let (made, standing) = (begun.elapsed(), resident());
    let begun = Instant::now();
    let (mut found, mut bytes) = (0, 0);
    for server in &servers {
        let request = http::Request::get("/api/v1/pods").body(Vec::new()).unwrap();
        let text = server.admin().client().request_text(request).await.unwrap();
        bytes += text.len();
        found += text.matches("\"podIP\":").count();
    }
    let listed = begun.elapsed();
    assert_eq!(found, clusters * PODS);
    let begun = Instant::now();
    let api: Api<Pod> = Api::all(servers[0].admin().client());
    let typed = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(typed.items.len(), PODS);
    println!(
        "{clusters} clusters of {PODS} pods, {} build: made in {:.1} s; {standing} MiB resident \
         ({before} before, {} after all lists); all lists, one after the other, in {:.2} s ({} MiB \
         of JSON); one list into typed objects in {:.0} ms",
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        made.as_secs_f64(),
        resident(),
        listed.as_secs_f64(),
        bytes >> 20,
        begun.elapsed().as_secs_f64() * 1000.0,
    );
    let each = (standing - before) * 1024 / (clusters * PODS);
    assert!(each < MOST_KIB, "{each} KiB for each pod");
    for server in servers {
        server.stop().await;
    }
}

const PODS: usize = 1000;
/// A pod of this test is 1.6 KiB of JSON.
const MOST_KIB: usize = 12;
