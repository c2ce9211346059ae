//! Who runs pods: given by the world that embeds the server.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use discovery::serve::kube::{Status, Store};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    admit::{Part, now},
    state::{State, Write},
};

/// Runs pods.
pub trait Kubelet: Send + Sync + 'static {
    /// Runs a pod: tells by `report` where it is reached and whether it is ready, and returns
    /// when it has ended. It shall end when [`Report::stopped`] says so. One that ends by
    /// itself is run again.
    fn run(&self, pod: Pod, report: Report) -> BoxFuture<'static, ()>;
}

/// By what a kubelet tells of one pod.
#[derive(Clone)]
pub struct Report {
    pub(super) state: Arc<State>,
    /// `namespace/name`.
    pub(super) key: String,
    pub(super) uid: String,
    pub(super) host: IpAddr,
    pub(super) restarts: u32,
    pub(super) stop: CancellationToken,
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Report({})", self.key)
    }
}

impl Report {
    /// The pod runs at this address, ready or not.
    pub fn running(&self, address: IpAddr, ready: bool) {
        let restarts = self.restarts;
        let host = self.host;
        self.set(move |pod| {
            let status = running(pod, host, address, ready, restarts);
            pod.insert("status".to_owned(), status);
        });
    }

    /// The pod is ready, or no more.
    pub fn ready(&self, ready: bool) {
        self.set(move |pod| {
            let status = &mut pod["status"];
            for list in ["conditions", "containerStatuses"] {
                for one in status[list].as_array_mut().into_iter().flatten() {
                    if list == "containerStatuses" {
                        one["ready"] = json!(ready);
                    } else if matches!(one["type"].as_str(), Some("Ready" | "ContainersReady")) {
                        let said = json!(if ready { "True" } else { "False" });
                        if one["status"] != said {
                            one["lastTransitionTime"] = json!(now());
                        }
                        one["status"] = said;
                    }
                }
            }
        });
    }

    /// Returns when the pod shall end.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Writes the status, while the pod is still this one.
    fn set(&self, change: impl FnOnce(&mut Map<String, Value>)) {
        let kind = self.state.registry.core("pods");
        let make = |mut pod: Map<String, Value>| {
            if pod["metadata"]["uid"] != self.uid.as_str() {
                return Err(Status::not_found(&kind.resource, &self.key));
            }
            change(&mut pod);
            Ok(pod)
        };
        // A pod that is gone has no status to be written.
        let _ = self
            .state
            .change(&kind, &self.key, Part::Status, Write::Keep, make);
    }

    /// Whether the pod is still there and shall run.
    pub(super) fn wanted(&self) -> bool {
        let kind = self.state.registry.core("pods");
        let found = self.state.memory.get(&kind.resource, &self.key);
        !self.stop.is_cancelled()
            && found.is_some_and(|pod| pod.object()["metadata"]["uid"] == self.uid.as_str())
    }
}

fn running(
    pod: &Map<String, Value>,
    host: IpAddr,
    address: IpAddr,
    ready: bool,
    restarts: u32,
) -> Value {
    let time = now();
    let says = |yes: bool| if yes { "True" } else { "False" };
    let condition = |kind: &str, yes: bool| json!({ "type": kind, "status": says(yes), "lastProbeTime": null, "lastTransitionTime": time });
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let statuses: Vec<Value> = containers
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"], "imageID": "",
                "ready": ready, "started": true, "restartCount": restarts,
                "state": { "running": { "startedAt": time } }, "lastState": {},
            })
        })
        .collect();
    let class = pod["status"]["qosClass"].clone();
    let start = match pod["status"]["startTime"].as_str() {
        Some(start) => start.to_owned(),
        None => time.clone(),
    };
    json!({
        "phase": "Running",
        "qosClass": class,
        "startTime": start,
        "hostIP": host, "hostIPs": [{ "ip": host }],
        "podIP": address, "podIPs": [{ "ip": address }],
        "conditions": [
            condition("Initialized", true),
            condition("Ready", ready),
            condition("ContainersReady", ready),
            condition("PodScheduled", true),
        ],
        "containerStatuses": statuses,
    })
}

/// A kubelet that runs nothing: each pod gets an address of its own and is ready at once.
#[derive(Debug, Default)]
pub struct Pretend {
    given: AtomicU32,
}

impl Kubelet for Pretend {
    fn run(&self, _: Pod, report: Report) -> BoxFuture<'static, ()> {
        let address = Ipv4Addr::from(FIRST + self.given.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move {
            report.running(address.into(), true);
            report.stopped().await;
        })
    }
}

/// 10.244.0.10
const FIRST: u32 = 0x0af4_000a;
