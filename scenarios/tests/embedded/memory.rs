//! Many clusters in one process: what they weigh, and how fast they are read.

use std::{fmt::Write as _, time::Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use scenarios::apiserver::{ApiServer, ApiServerConfig};

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

fn pods(cluster: usize) -> String {
    let mut text = String::new();
    for pod in 0..PODS {
        let _ = write!(
            text,
            "---
apiVersion: v1
kind: Pod
metadata:
  name: hello-6d4cf56db6-{pod}
  namespace: default
  labels: {{ app: hello, pod-template-hash: 6d4cf56db6, version: v1, security.istio.io/tlsMode: istio }}
  annotations: {{ istio.io/rev: default, kubectl.kubernetes.io/default-container: app }}
spec:
  nodeName: node-{cluster}
  serviceAccountName: hello
  containers:
  - name: app
    image: registry.example/hello:1.0
    ports: [{{ name: http, containerPort: 5000 }}]
    resources: {{ requests: {{ cpu: 100m, memory: 64Mi }} }}
    readinessProbe: {{ httpGet: {{ path: /ready, port: 5000 }} }}
status:
  phase: Running
  podIP: 10.{cluster}.{}.{}
  podIPs: [{{ ip: 10.{cluster}.{}.{} }}]
  hostIP: 192.0.2.1
  conditions: [{{ type: Ready, status: 'True' }}, {{ type: ContainersReady, status: 'True' }}]
",
            pod / 250,
            pod % 250,
            pod / 250,
            pod % 250
        );
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clusters_of_a_thousand_pods_fit_into_one_process() {
    let before = resident();
    let begun = Instant::now();
    let mut servers = Vec::new();
    for cluster in 0..CLUSTERS {
        let server = ApiServer::start(ApiServerConfig::new(&format!("c{cluster}")))
            .await
            .unwrap();
        server.load(&pods(cluster)).unwrap();
        servers.push(server);
    }
    let made = begun.elapsed();
    let standing = resident();
    let begun = Instant::now();
    let (mut found, mut bytes) = (0, 0);
    for server in &servers {
        let request = http::Request::get("/api/v1/pods").body(Vec::new()).unwrap();
        let text = server.admin().client().request_text(request).await.unwrap();
        bytes += text.len();
        found += text.matches("\"podIP\"").count();
    }
    let listed = begun.elapsed();
    assert_eq!(found, CLUSTERS * PODS);
    let begun = Instant::now();
    let api: Api<Pod> = Api::all(servers[0].admin().client());
    assert_eq!(
        api.list(&ListParams::default()).await.unwrap().items.len(),
        PODS
    );
    println!(
        "{CLUSTERS} clusters of {PODS} pods, {} build: made in {:.1} s; {} MiB resident ({} before, \
         {} after all lists); all lists, one after the other, in {:.2} s ({} MiB of JSON); one list \
         into typed objects in {:.0} ms",
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        made.as_secs_f64(),
        standing,
        before,
        resident(),
        listed.as_secs_f64(),
        bytes >> 20,
        begun.elapsed().as_secs_f64() * 1000.0,
    );
    let each = (standing - before) * 1024 / (CLUSTERS * PODS);
    assert!(each < MOST_KIB, "{each} KiB for each pod");
    for server in servers {
        server.stop().await;
    }
}

const CLUSTERS: usize = 100;
const PODS: usize = 1000;
/// A pod of this test is 1.9 KiB of JSON.
const MOST_KIB: usize = 8;
