//! Two API servers, an ingest in front of them, and what is found in its picture.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use discovery::{
    Config, Ingest,
    model::{ClusterId, Mesh, ServiceKey},
    status::StatusHandle,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::api_server::{ApiServer, Asked, MCS, NAMESPACES, PODS, SECRETS, SERVICES, SLICES};

/// What stays while no ingest runs.
pub(crate) struct Away {
    pub(crate) c1: ApiServer,
    pub(crate) c2: ApiServer,
    directory: TempDir,
}

/// The own cluster `c1`, the peer `c2`, and a running ingest.
pub(crate) struct World {
    pub(crate) c1: ApiServer,
    pub(crate) c2: ApiServer,
    pub(crate) mesh: watch::Receiver<Arc<Mesh>>,
    pub(crate) status: StatusHandle,
    ingest: Ingest,
    cancel: CancellationToken,
    pub(crate) directory: TempDir,
}

impl World {
    /// Both clusters have `hello` with one pod each, `c2`'s is exported; the picture has both.
    pub(crate) async fn start() -> Self {
        let c2 = cluster("uid-2", "t2").await;
        let world = Self::without_secret(c2).await;
        world.put_secret("c2", "t2");
        world.until(|mesh| pods(mesh, "c2") == set(&["c2-a"])).await;
        world
    }

    /// As before, but `c2` is no member yet.
    pub(crate) async fn without_secret(c2: ApiServer) -> Self {
        let c1 = cluster("uid-1", "t1").await;
        Self::over(c1, c2, OFTEN).await
    }

    /// As [`World::start`], with one heartbeat at the start and no other.
    pub(crate) async fn without_heartbeats() -> Self {
        let (c1, c2) = (cluster("uid-1", "t1").await, cluster("uid-2", "t2").await);
        put_secret(&c1, "c2", &kubeconfig(&c2, "t2"));
        // What is absent is asked for again and again.
        c2.install(MCS);
        let world = Self::over(c1, c2, "interval: 10m, timeout: 20s, staleAfter: 11m").await;
        let complete = |mesh: &Mesh| pods(mesh, "c2") == set(&["c2-a"]);
        world.until(complete).await;
        world
    }

    /// An ingest over these.
    pub(crate) async fn over(c1: ApiServer, c2: ApiServer, heartbeat: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = format!("heartbeat: {{ {heartbeat} }}\n{PUSH}");
        Self::run(c1, c2, directory, &settings).await
    }

    /// As without a secret, and what is known is kept on disk.
    pub(crate) async fn with_state() -> Self {
        let (c1, c2) = (cluster("uid-1", "t1").await, cluster("uid-2", "t2").await);
        let directory = tempfile::tempdir().unwrap();
        let state = state(directory.path());
        Self::run(c1, c2, directory, &state).await
    }

    /// Ends the ingest and starts one that has the same directory.
    pub(crate) async fn restart(self) -> Self {
        self.restart_after(async |_| {}).await
    }

    /// The same, with a limit of the first publication.
    pub(crate) async fn restart_with_first(self, first: &str) -> Self {
        let (c1, c2, directory) = self.stop().await;
        let settings = state(directory.path()).replace("500ms", first);
        Self::run(c1, c2, directory, &settings).await
    }

    /// The same; something happens meanwhile.
    pub(crate) async fn restart_after(self, meanwhile: impl AsyncFnOnce(&Away)) -> Self {
        let (c1, c2, directory) = self.stop().await;
        let away = Away { c1, c2, directory };
        meanwhile(&away).await;
        let settings = state(away.directory.path());
        Self::run(away.c1, away.c2, away.directory, &settings).await
    }

    async fn stop(self) -> (ApiServer, ApiServer, TempDir) {
        self.cancel.cancel();
        tokio::time::timeout(LONG, self.ingest.join())
            .await
            .expect("all tasks end");
        (self.c1, self.c2, self.directory)
    }

    async fn run(c1: ApiServer, c2: ApiServer, directory: TempDir, settings: &str) -> Self {
        let path = directory.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig(&c1, "t1")).unwrap();
        let config = format!(
            "cluster: c1
kubeconfig: {}
listen: {{ xds: null, xdsPlainText: '127.0.0.1:1' }}
{settings}",
            path.display()
        );
        let config = serde_yaml_ng::from_str::<Config>(&config)
            .unwrap()
            .validate()
            .unwrap();
        let cancel = CancellationToken::new();
        let ingest = Ingest::start(config, cancel.clone()).await.unwrap();
        Self {
            c1,
            c2,
            mesh: ingest.mesh(),
            status: ingest.status(),
            ingest,
            cancel,
            directory,
        }
    }

    /// Writes the remote secret `name`, which leads to `c2` with a token.
    pub(crate) fn put_secret(&self, name: &str, token: &str) {
        self.put_secret_to(name, &kubeconfig(&self.c2, token));
    }

    pub(crate) fn put_secret_to(&self, name: &str, kubeconfig: &str) {
        put_secret(&self.c1, name, kubeconfig);
    }

    pub(crate) fn delete_secret(&self, name: &str) {
        self.c1.delete(SECRETS, "istio-system", name);
    }

    /// Waits for a picture.
    pub(crate) async fn until(&self, mut wanted: impl FnMut(&Mesh) -> bool) -> Arc<Mesh> {
        let mut receiver = self.mesh.clone();
        let found = receiver.wait_for(|mesh| wanted(mesh));
        match tokio::time::timeout(LONG, found).await {
            Ok(mesh) => Arc::clone(&mesh.unwrap()),
            Err(_) => panic!(
                "never so: {:#?}\n{:#}",
                self.mesh.borrow(),
                self.status.clusters()
            ),
        }
    }

    /// Waits for the first publication.
    pub(crate) async fn published(&self) -> Arc<Mesh> {
        self.until(|mesh| mesh.generation > 0).await
    }

    /// Waits for a status of `c2`.
    pub(crate) async fn until_status(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until_report(|report| {
            report["clusters"]
                .as_array()
                .unwrap()
                .iter()
                .any(|c| c["cluster"] == "c2" && wanted(c))
        })
        .await;
        self.report_of("c2")
    }

    pub(crate) async fn until_report(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let polled = async {
            loop {
                let report = self.status.clusters();
                if wanted(&report) {
                    return report;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(LONG, polled).await {
            Ok(report) => report,
            Err(_) => panic!("never so: {:#}", self.status.clusters()),
        }
    }

    /// Waits until `c2` was asked for something.
    pub(crate) async fn until_asked(&self, wanted: impl Fn(&Asked) -> bool) -> Vec<Asked> {
        let mut all = Vec::new();
        let polled = async {
            while !all.iter().any(&wanted) {
                tokio::time::sleep(Duration::from_millis(10)).await;
                all.extend(self.c2.take_requests());
            }
        };
        let in_time = tokio::time::timeout(LONG, polled).await.is_ok();
        assert!(in_time, "never asked: {all:#?}");
        all
    }

    pub(crate) fn report_of(&self, cluster: &str) -> Value {
        let report = self.status.clusters();
        let mut clusters = report["clusters"].as_array().unwrap().iter();
        clusters.find(|c| c["cluster"] == cluster).unwrap().clone()
    }

    pub(crate) fn now(&self) -> Arc<Mesh> {
        Arc::clone(&self.mesh.borrow())
    }

    /// Ends it; every task must end too.
    pub(crate) async fn end(self) {
        self.stop().await;
    }
}

impl Away {
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }
}

fn state(directory: &Path) -> String {
    let state = directory.join("state");
    format!(
        "heartbeat: {{ {OFTEN} }}\n{PUSH}state: {{ directory: {}, every: 20ms }}\n",
        state.display()
    )
}

/// An API server with the system namespace and `hello` with one pod, `<prefix>-a`.
pub(crate) async fn cluster(uid: &str, token: &str) -> ApiServer {
    let server = ApiServer::start(uid, token).await;
    let prefix = uid.replace("uid-", "c");
    let network = json!({"topology.istio.io/network": format!("n-{prefix}")});
    server.apply(
        NAMESPACES,
        json!({"metadata": {"name": "istio-system", "labels": network}}),
    );
    server.apply(SERVICES, hello(true));
    server.apply(PODS, pod(&format!("{prefix}-a"), "10.0.0.1"));
    server.apply(
        SLICES,
        slice("hello-1", &[(&format!("{prefix}-a"), "10.0.0.1", true)]),
    );
    server
}

pub(crate) fn hello(exported: bool) -> Value {
    let labels = json!({"isthmus.io/export": exported.to_string()});
    json!({"metadata": {"name": "hello", "namespace": "sample", "labels": labels},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "http", "port": 80}]}})
}

pub(crate) fn pod(name: &str, address: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "sample", "labels": {"security.istio.io/tlsMode": "istio"}},
        "spec": {"serviceAccountName": "hello", "nodeName": "n1", "containers": []},
        "status": {"podIP": address, "podIPs": [{"ip": address}]}})
}

pub(crate) fn slice(name: &str, endpoints: &[(&str, &str, bool)]) -> Value {
    let endpoint = |(pod, address, ready): &(&str, &str, bool)| {
        json!({"addresses": [address], "conditions": {"ready": ready},
            "targetRef": {"kind": "Pod", "name": pod, "namespace": "sample"}})
    };
    let endpoints: Vec<_> = endpoints.iter().map(endpoint).collect();
    json!({"metadata": {"name": name, "namespace": "sample", "labels": {"kubernetes.io/service-name": "hello"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 5000}], "endpoints": endpoints})
}

/// Writes the remote secret `name` for `c2` into a cluster.
pub(crate) fn put_secret(server: &ApiServer, name: &str, kubeconfig: &str) {
    let data = BASE64_STANDARD.encode(kubeconfig);
    let secret =
        json!({"metadata": {"name": name, "namespace": "istio-system"}, "data": {"c2": data}});
    server.apply(SECRETS, secret);
}

pub(crate) fn kubeconfig(server: &ApiServer, token: &str) -> String {
    format!(
        "clusters: [{{name: x, cluster: {{server: 'http://{}'}}}}]
contexts: [{{name: x, context: {{cluster: x, user: x}}}}]
current-context: x
users: [{{name: x, user: {{token: {token}}}}}]
",
        server.address
    )
}

/// The pods behind `hello` in a cluster, ready or not.
pub(crate) fn pods(mesh: &Mesh, cluster: &str) -> BTreeSet<String> {
    let service = mesh.services.get(&ServiceKey::new("sample", "hello"));
    let shard = service.and_then(|service| service.shards.get(&ClusterId::from(cluster)));
    let endpoints = shard.into_iter().flat_map(|shard| &shard.endpoints);
    endpoints.map(|endpoint| endpoint.pod.to_string()).collect()
}

pub(crate) fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Heartbeats as most tests want them: often, and patient where the machine is slow.
pub(crate) const OFTEN: &str = "interval: 50ms, timeout: 20s, staleAfter: 400ms";
/// Longer than anything here takes, on any machine.
const LONG: Duration = Duration::from_secs(30);
const PUSH: &str = "push: { quiet: 20ms, limit: 200ms, gap: 5ms, first: 500ms }\n";
