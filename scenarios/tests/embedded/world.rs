//! Two embedded clusters, and a discovery that watches both.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Result;
use discovery::{
    Config, Ingest,
    model::{ClusterId, Mesh, ServiceKey},
    status::StatusHandle,
};
use scenarios::{
    apiserver::{ApiServer, ApiServerConfig, Pretend},
    probe::eventually,
    world::{kubeconfig::Kubeconfig, objects},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Cluster `c1` with a discovery, and its peer `c2`.
pub(crate) struct World {
    pub(crate) c1: ApiServer,
    pub(crate) c2: ApiServer,
    mesh: watch::Receiver<Arc<Mesh>>,
    pub(crate) status: StatusHandle,
    ingest: Ingest,
    cancel: CancellationToken,
    _directory: TempDir,
}

impl World {
    /// Both clusters run `hello` with two pods, which `c2` exports; the picture has both.
    pub(crate) async fn start() -> Result<Self> {
        let (c1, c2) = (cluster("c1").await?, cluster("c2").await?);
        let secret = objects::remote_secret("c2", &reader(&c2).await?.yaml()?);
        c1.load(&serde_json::to_string(&secret)?)?;
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("kubeconfig");
        std::fs::write(&path, c1.kubeconfig().yaml()?)?;
        let config: Config = serde_yaml_ng::from_str(&format!(
            "cluster: c1
kubeconfig: {}
listen: {{ xds: null, xdsPlainText: '127.0.0.1:1' }}
heartbeat: {{ interval: 50ms, timeout: 500ms, staleAfter: 400ms }}
push: {{ quiet: 20ms, limit: 200ms, gap: 5ms, first: 500ms }}
",
            path.display()
        ))?;
        let config = config
            .validate()
            .map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?;
        let cancel = CancellationToken::new();
        let ingest = Ingest::start(config, cancel.clone()).await?;
        let world = Self {
            c1,
            c2,
            mesh: ingest.mesh(),
            status: ingest.status(),
            ingest,
            cancel,
            _directory: directory,
        };
        world.until_pods("c2", 2).await;
        Ok(world)
    }

    /// Waits until the picture has so many ready pods of `hello` in a cluster.
    pub(crate) async fn until_pods(&self, cluster: &str, count: usize) -> BTreeSet<String> {
        let mut mesh = self.mesh.clone();
        let found = mesh.wait_for(|mesh| pods(mesh, cluster).len() == count);
        match tokio::time::timeout(LONG, found).await {
            Ok(mesh) => pods(&mesh.expect("ingest runs"), cluster),
            Err(_) => panic!(
                "never {count} pods in {cluster}: {:#?}\n{:#}",
                self.pods(cluster),
                self.status.clusters()
            ),
        }
    }

    /// The pods of `hello` in a cluster that the picture has now.
    pub(crate) fn pods(&self, cluster: &str) -> BTreeSet<String> {
        pods(&self.mesh.borrow(), cluster)
    }

    /// Waits until discovery says this state of `c2`.
    pub(crate) async fn until_state(&self, state: &str) -> Value {
        let found = eventually(state, LONG, async || {
            let report = self.status.clusters();
            let mut clusters = report["clusters"].as_array().into_iter().flatten();
            let c2 = clusters.find(|c| c["cluster"] == "c2" && c["state"] == state);
            c2.cloned().ok_or_else(|| anyhow::anyhow!("{report:#}"))
        });
        found.await.unwrap()
    }

    /// Ends all of it; every task must end too.
    pub(crate) async fn end(self) {
        self.cancel.cancel();
        let ended = tokio::time::timeout(LONG, self.ingest.join()).await;
        ended.expect("discovery ends");
        self.c1.stop().await;
        self.c2.stop().await;
    }
}

/// A cluster that runs `hello`.
pub(crate) async fn cluster(name: &str) -> Result<ApiServer> {
    let mut config = ApiServerConfig::new(name);
    config.kubelet = Some(Arc::new(Pretend::default()));
    let server = ApiServer::start(config).await?;
    server.load(HELLO)?;
    for object in [
        objects::reader_role(),
        objects::reader_binding(),
        objects::account("istio-system", objects::READER),
    ] {
        server.load(&serde_json::to_string(&object)?)?;
    }
    Ok(server)
}

/// The kubeconfig of the reader account.
pub(crate) async fn reader(server: &ApiServer) -> Result<Kubeconfig> {
    let token = server
        .admin()
        .token("istio-system", objects::READER, None)
        .await?;
    Ok(Kubeconfig {
        token,
        ..server.kubeconfig().clone()
    })
}

fn pods(mesh: &Mesh, cluster: &str) -> BTreeSet<String> {
    let service = mesh.services.get(&ServiceKey::new("sample", "hello"));
    let shard = service.and_then(|service| service.shards.get(&ClusterId::from(cluster)));
    let endpoints = shard.into_iter().flat_map(|shard| &shard.endpoints);
    endpoints.map(|endpoint| endpoint.pod.to_string()).collect()
}

/// Longer than anything here takes, on any machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);
const HELLO: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: istio-system, labels: { topology.istio.io/network: n1 } }
---
apiVersion: v1
kind: Namespace
metadata: { name: sample }
---
apiVersion: v1
kind: Service
metadata: { name: hello, namespace: sample, labels: { isthmus.io/export: "true" } }
spec:
  selector: { app: hello }
  ports: [{ name: http, port: 80, targetPort: web }]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: hello, namespace: sample }
spec:
  replicas: 2
  selector: { matchLabels: { app: hello } }
  template:
    metadata: { labels: { app: hello, security.istio.io/tlsMode: istio } }
    spec:
      containers: [{ name: app, image: hello, ports: [{ name: web, containerPort: 5000 }] }]
"#;
