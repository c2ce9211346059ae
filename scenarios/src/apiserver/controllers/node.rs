//! A node: takes pods that have none, and has its kubelet run them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use discovery::serve::kube::Item;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::text;
use crate::apiserver::{
    admit::{Part, now},
    kind::Kind,
    kubelet::{Kubelet, Report},
    state::{State, Write},
};

/// A node with its pods.
pub(in crate::apiserver) struct Node {
    state: Arc<State>,
    kubelet: Arc<dyn Kubelet>,
    name: String,
    host: IpAddr,
    /// The version of each pod that was looked at.
    seen: HashMap<Box<str>, u64>,
    /// By UID.
    running: HashMap<String, CancellationToken>,
    tasks: JoinSet<Ended>,
}

/// A pod that runs no more.
struct Ended {
    key: String,
    uid: String,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.name)
    }
}

impl Node {
    /// Registers a node.
    pub(in crate::apiserver) fn new(
        state: Arc<State>,
        kubelet: Arc<dyn Kubelet>,
        host: IpAddr,
        labels: &BTreeMap<String, String>,
    ) -> Self {
        let name = format!("{}-node", state.name);
        let node = Self {
            state,
            kubelet,
            name,
            host,
            seen: HashMap::new(),
            running: HashMap::new(),
            tasks: JoinSet::new(),
        };
        node.register(labels);
        node
    }

    /// Takes pods in, ends those that shall end.
    pub(super) fn settle(&mut self) {
        let kind = self.state.registry.core("pods");
        let mut present = HashSet::new();
        for pod in self.state.memory.all(&kind.resource) {
            let place = pod.field(&kind.resource, "spec.nodeName");
            let ended = matches!(
                pod.field(&kind.resource, "status.phase"),
                "Succeeded" | "Failed"
            );
            if place.is_empty() && !ended {
                // A pod that is gone needs no place.
                let _ = self.state.bind(&kind, pod.key(), &self.name);
            } else if place == self.name {
                present.insert(pod.key().to_owned());
                if self.seen.insert(pod.key().into(), pod.version()) != Some(pod.version()) {
                    self.look(&kind, &pod);
                }
            }
        }
        // A pod that is gone by force ends all the same.
        let gone: Vec<_> = self
            .seen
            .keys()
            .filter(|key| !present.contains(&***key))
            .cloned()
            .collect();
        for key in gone {
            self.seen.remove(&key);
        }
        self.end_strangers(&kind);
    }

    /// Returns when a pod has ended, after what follows from it.
    pub(super) async fn ended(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(ended)) => {
                self.running.remove(&ended.uid);
                let kind = self.state.registry.core("pods");
                self.state.remove(&kind, &ended.key, &ended.uid);
            }
            // A kubelet that panics has lost its pod; it stays as it was.
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }

    fn look(&mut self, kind: &Kind, pod: &Item) {
        let object = pod.object();
        let uid = text(&object, "/metadata/uid").to_owned();
        let going = !text(&object, "/metadata/deletionTimestamp").is_empty();
        match (self.running.get(&uid), going) {
            (Some(stop), true) => stop.cancel(),
            (None, true) => self.state.remove(kind, pod.key(), &uid),
            (Some(_), false) => {}
            (None, false) => self.start(pod, object, uid),
        }
    }

    fn start(&mut self, pod: &Item, mut object: Map<String, Value>, uid: String) {
        let stop = CancellationToken::new();
        self.running.insert(uid.clone(), stop.clone());
        let report = Report {
            state: Arc::clone(&self.state),
            key: pod.key().to_owned(),
            uid,
            host: self.host,
            restarts: 0,
            stop,
        };
        object.insert("kind".to_owned(), json!("Pod"));
        object.insert("apiVersion".to_owned(), json!("v1"));
        let grace = object["spec"]["terminationGracePeriodSeconds"]
            .as_u64()
            .unwrap_or(30);
        // What is kept went through the same type before.
        let Ok(pod) = serde_json::from_value::<Pod>(Value::Object(object)) else {
            return;
        };
        let kubelet = Arc::clone(&self.kubelet);
        self.tasks.spawn(async move {
            let ended = Ended {
                key: report.key.clone(),
                uid: report.uid.clone(),
            };
            live(&*kubelet, pod, report, Duration::from_secs(grace)).await;
            ended
        });
    }

    /// Ends what runs for pods that are no more.
    fn end_strangers(&self, kind: &Kind) {
        if self.running.len() <= self.seen.len() {
            return;
        }
        let known: HashSet<String> = self
            .seen
            .keys()
            .filter_map(|key| {
                discovery::serve::kube::Store::get(&*self.state.memory, &kind.resource, key)
            })
            .map(|pod| text(&pod.object(), "/metadata/uid").to_owned())
            .collect();
        for (uid, stop) in &self.running {
            if !known.contains(uid) {
                stop.cancel();
            }
        }
    }

    fn register(&self, labels: &BTreeMap<String, String>) {
        let mut labels = labels.clone();
        labels.insert("kubernetes.io/hostname".to_owned(), self.name.clone());
        let time = now();
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": self.name, "labels": labels },
            "status": {
                "addresses": [
                    { "type": "InternalIP", "address": self.host },
                    { "type": "Hostname", "address": self.name },
                ],
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "KubeletReady",
                    "message": "the embedded kubelet is ready",
                    "lastHeartbeatTime": time, "lastTransitionTime": time,
                }],
                "nodeInfo": {
                    "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "",
                    "osImage": "Isthmus", "containerRuntimeVersion": "isthmus://embedded",
                    "kubeletVersion": "v1.36.3", "kubeProxyVersion": "", "operatingSystem": "linux",
                    "architecture": std::env::consts::ARCH,
                },
            },
        });
        // A node of that name that manifests have made before is the same.
        let _ = self.state.load(node);
        let kind = self.state.registry.core("nodes");
        let ready = |mut node: Map<String, Value>| {
            if let Some(taints) = node["spec"]["taints"].as_array_mut() {
                taints.retain(|taint| taint["key"] != "node.kubernetes.io/not-ready");
            }
            Ok(node)
        };
        // It was just made.
        let _ = self
            .state
            .change(&kind, &self.name, Part::Main, Write::Keep, ready);
    }
}

/// Runs a pod until it shall end, again when it ends by itself.
async fn live(kubelet: &dyn Kubelet, pod: Pod, mut report: Report, grace: Duration) {
    let stop = report.stop.clone();
    let too_long = async {
        stop.cancelled().await;
        sleep(grace).await;
    };
    let life = async {
        while report.wanted() {
            kubelet.run(pod.clone(), report.clone()).await;
            if report.stop.is_cancelled() {
                return;
            }
            report.ready(false);
            report.restarts += 1;
            tokio::select! {
                () = report.stop.cancelled() => {}
                () = sleep(RESTART) => {}
            }
        }
    };
    tokio::select! {
        () = life => {}
        () = too_long => {}
    }
}

/// How long a pod that ended waits before it runs again.
const RESTART: Duration = Duration::from_secs(1);
