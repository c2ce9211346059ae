//! A real kube-apiserver on etcd, with the controllers that the cases need.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::ListParams};
use scenarios::{
    netns::Netns,
    peers::{self, Missing, Peers},
    run::Run,
    topology::ClusterPlan,
    world::control_plane::{ControlPlane, Places},
};

/// The programs.
#[derive(Debug)]
pub(crate) struct Parts {
    peers: Peers,
}

/// The running server, in a network namespace into which the calling thread has moved.
#[derive(Debug)]
pub(crate) struct Real {
    // In the order in which they must go.
    pub(crate) plane: ControlPlane,
    netns: Netns,
    run: Run,
}

impl Parts {
    pub(crate) fn find() -> Result<Self, Missing> {
        peers::kubectl()?;
        // Neither our own command nor an application takes part.
        let peers = Peers::find(Path::new(""), Path::new(""), None)?;
        Ok(Self { peers })
    }
}

impl Real {
    pub(crate) async fn start(parts: &Parts) -> Result<Self> {
        let run = Run::start()?;
        let netns = Netns::create(format!("{}-api", run.name()))?;
        let plan = ClusterPlan {
            name: "real".to_owned(),
            ..ClusterPlan::numbered(1)
        };
        netns.ip(&[format!("address add {}/32 dev lo", plan.node())])?;
        netns.enter()?;
        let places = Places {
            directory: run.directory().join("real"),
            logs: run.logs(),
            controllers: &[
                "deployment-controller",
                "replicaset-controller",
                "namespace-controller",
                "garbage-collector-controller",
            ],
        };
        let plane = ControlPlane::start(&plan, &parts.peers, &netns, &places).await;
        let plane = plane.inspect_err(|_| eprintln!("logs: {}", run.keep_logs().display()))?;
        Ok(Self { plane, netns, run })
    }

    /// Forgets history: etcd is compacted, and the API server starts anew.
    pub(crate) async fn forget(&mut self) -> Result<()> {
        let one = ListParams::default().limit(1);
        let namespaces = Api::<Namespace>::all(self.plane.api().client())
            .list(&one)
            .await?;
        let version = namespaces
            .metadata
            .resource_version
            .context("a list without a version")?;
        compact_etcd(&version)?;
        self.plane.stop();
        self.plane.start_again(&self.netns).await
    }

    pub(crate) fn keep_logs(&self) {
        eprintln!("logs: {}", self.run.keep_logs().display());
    }
}

/// Our thread stands where etcd does.
fn compact_etcd(version: &str) -> Result<()> {
    let body = format!("{{\"revision\":{version},\"physical\":true}}");
    let mut socket = TcpStream::connect("127.0.0.1:2379")?;
    write!(
        socket,
        "POST /v3/kv/compaction HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    ensure!(answer.contains(" 200 "), "etcd says {answer}");
    Ok(())
}
