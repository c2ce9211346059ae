//! The real kubectl against the demo, as a person plays with it: what it says, and what comes
//! of it in the mesh.

use std::{collections::BTreeSet, fs, path::Path};

use rustix::process::Signal;
use scenarios::kubectl::{Going, Kubectl};
use serde_json::Value;
use tokio::runtime::Builder;

use crate::subject::{Standing, assert_gone};

/// kubectl with c2's kubeconfig, as the demo names it.
struct Hands {
    demo: Standing,
    kubectl: Kubectl,
}

pub(crate) fn plays(binary: &str, slice: u8) {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(async {
        let mut hands = Hands::take(binary, slice);
        hands.look().await;
        hands.scale().await;
        hands.describe().await;
        hands.edit().await;
        hands.delete().await;
        hands.label().await;
        hands.apply().await;
        let id = hands.demo.id();
        let (status, _) = hands.demo.end(Signal::TERM);
        assert!(status.success());
        assert_gone(id, slice);
    });
}

impl Hands {
    fn take(binary: &str, slice: u8) -> Self {
        let demo = Standing::start(slice, &[]);
        let kubeconfig = demo.guide()["kubeconfigs"]["c2"].as_str().unwrap();
        let kubeconfig = fs::read_to_string(kubeconfig).unwrap();
        let kubectl = Kubectl::new(Path::new(binary), &kubeconfig, EDITOR).unwrap();
        Self { demo, kubectl }
    }

    async fn say(&self, line: &str) -> String {
        self.say_with(line, "").await
    }

    /// What a command prints, which must succeed.
    async fn say_with(&self, line: &str, input: &str) -> String {
        let arguments: Vec<&str> = line.split(' ').collect();
        let said = self.kubectl.run(&arguments, input).await.unwrap();
        assert_eq!(said.code, 0, "kubectl {line}: {}{}", said.out, said.err);
        said.out
    }

    /// Waits until the demo shows it so.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.demo.until(wanted)
    }

    async fn look(&self) {
        let served = self.say("api-resources").await;
        for resource in ["deployments", "endpointslices", "pods", "services"] {
            let is = |line: &str| line.starts_with(&format!("{resource} "));
            assert!(served.lines().any(is), "{resource}: {served}");
        }
        let table = self.say("-n sample get pods -o wide").await;
        let (head, rows) = table.split_once('\n').unwrap();
        let columns: Vec<&str> = head.split_whitespace().take(6).collect();
        assert_eq!(
            columns,
            ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"]
        );
        assert_eq!(rows.matches(" 1/1 ").count(), 2, "{table}");
        let nodes = self.say("get nodes,namespaces,services -A").await;
        assert!(nodes.contains("service/helloworld"), "{nodes}");
    }

    /// `scale`, and `get -w` beside it.
    async fn scale(&mut self) {
        let watch = ["-n", "sample", "get", "pods", "-w", "-l", "version=v2"];
        let mut going = self.kubectl.follow(&watch).unwrap();
        assert!(going.next().await.unwrap().starts_with("NAME"));
        self.say("-n sample scale deployment helloworld-v2 --replicas=3")
            .await;
        let running = running(&mut going, 3).await;
        let shown = self.until(|picture| pods(picture).len() == 3);
        assert_eq!(pods(&shown), running, "as kubectl has watched them");
        self.until(|picture| picture["clusters"][0]["peers"][0]["readyEndpoints"] == 3);
    }

    async fn describe(&self) {
        let said = self
            .say("-n sample describe deployment helloworld-v2")
            .await;
        assert!(said.contains("3 desired | 3 updated | 3 total | 3 available"));
        assert!(said.contains("ScalingReplicaSet"), "{said}");
        let said = self.say("-n sample describe pods -l version=v2").await;
        assert_eq!(said.matches("helloworld:v2").count(), 3, "{said}");
        let said = self.say("-n sample describe service helloworld").await;
        assert_eq!(said.matches(":5000").count(), 3, "{said}");
    }

    async fn edit(&mut self) {
        self.say("-n sample edit deployment helloworld-v2").await;
        self.until(|picture| pods(picture).len() == 2);
    }

    /// A pod that is deleted is replaced.
    async fn delete(&mut self) {
        let before = pods(&self.until(|picture| pods(picture).len() == 2));
        let gone = before.first().unwrap().clone();
        self.say(&format!("-n sample delete pod {gone}")).await;
        self.until(|picture| {
            let now = pods(picture);
            now.len() == 2 && !now.contains(&gone)
        });
    }

    /// The export's label decides who answers c1.
    async fn label(&mut self) {
        self.until(|picture| answers(picture, 0, "v2"));
        self.say("-n sample label service helloworld isthmus.io/export-")
            .await;
        self.until(|picture| {
            let service = &picture["clusters"][1]["services"][0];
            service["exported"] == false && !answers(picture, 0, "v2")
        });
        self.say("-n sample label service helloworld isthmus.io/export=true")
            .await;
        self.until(|picture| answers(picture, 0, "v2"));
    }

    /// A new version, from a file, and away with it.
    async fn apply(&mut self) {
        let said = self.say_with("apply -f -", V3).await;
        assert!(said.contains("deployment.apps/helloworld-v3 created"));
        // c1 gets to it with its next connection to the gateway, c2's own client at once.
        self.until(|picture| answers(picture, 1, "v3"));
        self.until(|picture| picture["clusters"][0]["peers"][0]["readyEndpoints"] == 3);
        let said = self.say_with("apply -f -", V3).await;
        assert!(said.contains("unchanged"), "{said}");
        self.say_with("delete -f -", V3).await;
        self.until(|picture| !answers(picture, 1, "v3"));
    }
}

/// Reads on until so many pods of those that are told run and are ready; their names.
async fn running(going: &mut Going, count: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    while found.len() < count {
        let line = going.next().await.unwrap();
        let columns: Vec<&str> = line.split_whitespace().collect();
        if columns[1..3] == ["1/1", "Running"] {
            found.insert(columns[0].to_owned());
        }
    }
    found
}

/// The pods of v2 in c2 that the demo shows as ready.
fn pods(picture: &Value) -> BTreeSet<String> {
    let pods = picture["clusters"][1]["pods"].as_array();
    let names = pods.into_iter().flatten().filter_map(|pod| {
        let name = pod["name"].as_str()?;
        let ready = pod["ready"] == true && name.starts_with("helloworld-v2");
        ready.then(|| name.to_owned())
    });
    names.collect()
}

/// Whether this version is among the last answers to the client of a cluster, by its place.
fn answers(picture: &Value, cluster: usize, version: &str) -> bool {
    let last = picture["clusters"][cluster]["calls"]["last"].as_array();
    last.into_iter().flatten().any(|answer| answer == version)
}

/// What `kubectl edit` calls.
const EDITOR: &str = "sed -i -e 's/replicas: 3/replicas: 2/'";
const V3: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: helloworld-v3, namespace: sample }
spec:
  selector: { matchLabels: { app: helloworld, version: v3 } }
  template:
    metadata: { labels: { app: helloworld, version: v3, security.istio.io/tlsMode: istio } }
    spec:
      serviceAccountName: helloworld
      containers: [{ name: app, image: 'helloworld:v3', ports: [{ containerPort: 5000 }] }]
";
