//! A real Istio in a cluster: what its charts install, its control plane, its gateways.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod as PodObject, Secret, Service};
use kube::api::ListParams;
use serde_json::{Value, json};

use super::Cluster;
use crate::{
    peers::{Istio, Peers},
    probe::eventually,
    topology::{ClusterPlan, Role, SYSTEM_NAMESPACE, Workload, pod_address},
    world::{
        chart::{Chart, documents},
        image::OURS,
        kubelet::container::{Container, SIDECAR, containers},
        objects::{self, base64},
    },
};

/// How istiod configures proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Without the three filters that only Istio's own build of Envoy has.
    StockEnvoy,
    /// As the chart has it: stock Envoys refuse it.
    Default,
}

/// An east-west gateway, as its chart installs it.
#[derive(Debug, Clone)]
pub struct GatewayPlan {
    /// The release: names its Deployment, Service and account.
    pub name: &'static str,
    /// What runs in it.
    pub kind: GatewayKind,
    /// Its pod's own address on the wan; none where the cluster balances loads.
    pub wan: Option<Ipv4Addr>,
    /// Values of the chart beside those.
    pub values: Value,
}

/// What runs in the pods of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayKind {
    /// Istio's agent with an Envoy.
    Envoy,
    /// Our command in the agent's place: `isthmus proxy router ...`.
    Ours,
}

/// What charts have installed in a cluster.
#[derive(Debug)]
pub struct Installed {
    parts: Istio,
    programs: PathBuf,
    templates: BTreeMap<String, Value>,
}

impl Installed {
    fn begin(parts: Istio, peers: &Peers, directory: &Path) -> Result<Self> {
        let programs = directory.join("programs");
        fs::create_dir_all(&programs)?;
        let istio = ["pilot-discovery", "pilot-agent", "istioctl"];
        let istio = istio.map(|name| (name, parts.program(name)));
        let own = [
            ("envoy-itself", peers.envoy()?.to_owned()),
            ("isthmus", peers.isthmus.clone()),
            ("world-app", peers.app.clone()),
        ];
        for (name, binary) in istio.iter().chain(&own) {
            place(binary, &programs.join(name))?;
        }
        let envoy = programs.join("envoy");
        fs::write(&envoy, ENVOY)?;
        fs::set_permissions(&envoy, fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            parts,
            programs,
            templates: BTreeMap::new(),
        })
    }

    /// The programs of all images.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Istio's files.
    #[must_use]
    pub fn parts(&self) -> &Istio {
        &self.parts
    }

    /// The pod template of a Deployment.
    ///
    /// # Errors
    /// When no chart has installed one of this name.
    pub fn template(&self, name: &str) -> Result<Value> {
        let template = self.templates.get(name).cloned();
        template.with_context(|| format!("no chart has a Deployment {name}"))
    }

    /// Has the pods of a Deployment made after this template from now on.
    pub(super) fn keep(&mut self, name: &str, template: Value) {
        self.templates.insert(name.to_owned(), template);
    }
}

impl Cluster {
    /// Installs Istio as its charts do, on the CA in `ca`, and waits until it serves and
    /// injects. Pods in `sample` get sidecars.
    ///
    /// # Errors
    /// When a part is missing, or does not come up.
    pub async fn install_istio(&mut self, flavour: Flavour) -> Result<()> {
        let parts = Istio::find()?;
        self.installed = Some(Installed::begin(
            parts.clone(),
            &self.peers,
            &self.directory,
        )?);
        let definitions = parts.chart("base/files/crd-all.gen.yaml");
        self.apply_file(&definitions, None).await?;
        self.api()
            .create::<Secret>(cacerts(&self.directory.join("ca"))?)
            .await?;
        let inject = json!({ "metadata": { "labels": { "istio-injection": "enabled" } } });
        self.api()
            .merge::<Namespace>(None, "sample", &inject)
            .await?;
        let values = control_plane_values(&self.plan, flavour);
        self.install("istiod", "istio-control/istio-discovery", values)
            .await?;
        self.scale_up(&istiod(), 1).await?;
        eventually("istiod injects", ARRIVAL, async || {
            let probe = Workload {
                name: "probe",
                namespace: "sample",
                account: "client",
                role: Role::Injected {
                    version: None,
                    istiod: None,
                },
                ..istiod()
            };
            self.rehearse(&probe).await.map(drop)
        })
        .await
    }

    /// Installs an east-west gateway with its Service; its pods are the workload that is
    /// returned.
    ///
    /// # Errors
    /// When the API or helm refuses.
    pub async fn install_gateway(&mut self, gateway: &GatewayPlan) -> Result<Workload> {
        let mut values = gateway.values.clone();
        values["networkGateway"] = json!(self.plan.network);
        values["labels"]["istio"] = json!("eastwestgateway");
        values["labels"]["app"] = json!(gateway.name);
        if gateway.kind == GatewayKind::Ours {
            values["podAnnotations"][IMAGE_ANNOTATION] = json!(OURS);
        }
        self.install(gateway.name, "gateway", values).await?;
        if let Some(wan) = gateway.wan {
            let status = json!({ "loadBalancer": { "ingress": [{ "ip": wan }] } });
            self.api()
                .set_status::<Service>(SYSTEM_NAMESPACE, gateway.name, status)
                .await?;
        }
        Ok(charted(gateway.name, gateway.wan))
    }

    /// Lets other networks in at the gateways: to all services, and to istiod.
    ///
    /// # Errors
    /// When istiod or the API refuses.
    pub async fn expose(&self) -> Result<()> {
        let parts = &self.installed()?.parts;
        for sample in ["expose-services.yaml", "expose-istiod.yaml"] {
            let file = parts.sample(sample);
            self.apply_file(&file, Some(SYSTEM_NAMESPACE)).await?;
        }
        Ok(())
    }

    /// What the first pod of a workload would run in its sidecar's place, as the API server
    /// and its webhooks would admit it now. It has no address yet.
    ///
    /// # Errors
    /// When nobody injects, or the API refuses.
    pub async fn rehearse(&self, workload: &Workload) -> Result<Container> {
        let name = format!("{}-rehearsal", workload.name);
        let object = self.host().object(workload, &name)?;
        let mut object = self.api().rehearse::<PodObject>(object).await?;
        object["status"] = objects::pod_status(pod_address(0), self.plan.node(), false);
        let pod = serde_json::from_value(object)?;
        let injected = |one: &Container| one.name == SIDECAR && one.image != "auto";
        let found = containers(&pod)?.into_iter().find(injected);
        found.with_context(|| format!("nobody injects into {}", workload.name))
    }

    /// Applies the objects of a file, those without a namespace in this one.
    ///
    /// # Errors
    /// When the API refuses for too long: kinds are served some time after their definition.
    pub async fn apply_file(&self, file: &Path, namespace: Option<&str>) -> Result<()> {
        let text = fs::read_to_string(file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        for mut object in documents(&text)? {
            if let (Some(namespace), None) = (namespace, object["metadata"].get("namespace")) {
                object["metadata"]["namespace"] = json!(namespace);
            }
            self.apply(&object).await?;
        }
        Ok(())
    }

    /// Makes an object of any kind what this says, as soon as its kind is served.
    ///
    /// # Errors
    /// When the API refuses for too long.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        let api = self.api();
        eventually("the API server takes it", ARRIVAL, async || {
            api.apply(object).await
        })
        .await
    }

    /// What `istioctl proxy-status` shows of the proxies of this cluster's istiod, asked by
    /// a token.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn proxy_status(&self) -> Result<String> {
        let program = self.installed()?.programs.join("istioctl");
        let kubeconfig = self.directory.join("control-plane/admin.kubeconfig");
        let arguments = [
            "proxy-status",
            // A column for every type, with its state.
            "--verbosity",
            "1",
            "--xds-address",
            &format!("{ISTIOD_ADDRESS}:15012"),
            "--kubeconfig",
            &kubeconfig.display().to_string(),
        ];
        self.node.run(&program.display().to_string(), &arguments)
    }

    /// Renders a chart, applies all of it, and keeps the templates of its Deployments.
    async fn install(&mut self, release: &str, chart: &str, values: Value) -> Result<()> {
        let parts = &self.installed()?.parts;
        let chart = Chart {
            helm: &parts.helm,
            path: &parts.chart(chart),
            release,
            namespace: SYSTEM_NAMESPACE,
            values,
        };
        let mut templates = BTreeMap::new();
        for object in chart.render(&self.directory).await? {
            self.apply(&object).await?;
            if object["kind"] == "Deployment" {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let template = object["spec"]["template"].clone();
                templates.insert(name.to_owned(), template);
            }
        }
        ensure!(
            !templates.is_empty(),
            "the chart of {release} has no Deployment"
        );
        if let Some(installed) = &mut self.installed {
            installed.templates.append(&mut templates);
        }
        self.name_services().await
    }

    /// Writes the file by which pods resolve the names of Services, which is DNS here.
    /// istiod stands behind its own at its pod's address, there being no kube-proxy.
    pub(super) async fn name_services(&self) -> Result<()> {
        let services: kube::Api<Service> = kube::Api::all(self.api().client());
        let services = services.list(&ListParams::default()).await?;
        let mut lines = vec!["127.0.0.1 localhost".to_owned()];
        for service in services {
            let address = service.spec.and_then(|spec| spec.cluster_ip);
            let (Some(name), Some(namespace), Some(address)) =
                (service.metadata.name, service.metadata.namespace, address)
            else {
                continue;
            };
            let address = match name.as_str() {
                ISTIOD => ISTIOD_ADDRESS.to_string(),
                _ => address,
            };
            let short = format!("{name}.{namespace}");
            lines.push(format!(
                "{address} {short}.svc.cluster.local {short}.svc {short}"
            ));
        }
        let draft = self.directory.join("hosts.new");
        fs::write(&draft, lines.join("\n") + "\n")?;
        fs::rename(draft, self.directory.join("hosts"))?;
        Ok(())
    }

    fn installed(&self) -> Result<&Installed> {
        let name = &self.plan.name;
        let installed = self.installed.as_ref();
        installed.with_context(|| format!("nothing is installed in {name}"))
    }
}

/// The pods of a Deployment of a chart that calls all by one name; with a leg on the wan,
/// if they have an address there.
#[must_use]
pub fn charted(name: &'static str, wan: Option<Ipv4Addr>) -> Workload {
    Workload {
        name,
        namespace: SYSTEM_NAMESPACE,
        account: name,
        labels: BTreeMap::new(),
        role: Role::Charted { wan },
        address: None,
    }
}

/// The pods of istiod.
fn istiod() -> Workload {
    Workload {
        address: Some(ISTIOD_ADDRESS),
        ..charted(ISTIOD, None)
    }
}

fn control_plane_values(plan: &ClusterPlan, flavour: Flavour) -> Value {
    let certificate = json!({ "subject": true, "uri": true, "chain": true });
    let mut values = json!({
        "global": {
            "meshID": "mesh1",
            "network": plan.network,
            "multiCluster": { "clusterName": plan.name },
        },
        "meshConfig": {
            "trustDomain": plan.trust_domain,
            "accessLogFile": "/dev/stdout",
            "defaultConfig": {
                "proxyHeaders": { "setCurrentClientCertDetails": certificate },
            },
        },
    });
    if flavour == Flavour::StockEnvoy {
        values["telemetry"] = json!({ "v2": { "prometheus": { "enabled": false } } });
        values["env"] = json!({
            "PILOT_ENABLE_ALPN_FILTER": "false",
            "PILOT_ENABLE_METADATA_EXCHANGE": "false",
        });
    }
    values
}

/// The Secret by which istiod is given its CA: the files that `isthmus trust` writes.
fn cacerts(directory: &Path) -> Result<Value> {
    let mut data = BTreeMap::new();
    for name in [
        "ca-cert.pem",
        "ca-key.pem",
        "cert-chain.pem",
        "root-cert.pem",
    ] {
        let content = fs::read(directory.join(name));
        let content = content.with_context(|| format!("no {name} in {}", directory.display()))?;
        data.insert(name, base64(&content)?);
    }
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "cacerts", "namespace": SYSTEM_NAMESPACE },
        "data": data,
    }))
}

/// Puts a program where any user may run it: linked, or copied from another file system.
fn place(binary: &Path, to: &Path) -> Result<()> {
    match fs::hard_link(binary, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            io::copy(&mut File::open(binary)?, &mut File::create(to)?)?;
            fs::set_permissions(to, fs::metadata(binary)?.permissions())?;
            Ok(())
        }
        made => made.with_context(|| format!("cannot place {}", binary.display())),
    }
}

/// Has Envoy end with the agent that started it, as both do with their container.
const ENVOY: &str = r#"#!/bin/sh
exec setpriv --pdeathsig KILL -- /usr/local/bin/envoy-itself "$@"
"#;
/// The name of istiod's Deployment.
pub const ISTIOD: &str = "istiod";
/// Where istiod stands in every cluster.
pub(crate) const ISTIOD_ADDRESS: Ipv4Addr = pod_address(4);
/// How long a control plane may take to answer.
const ARRIVAL: Duration = Duration::from_secs(60);
const IMAGE_ANNOTATION: &str = "sidecar.istio.io/proxyImage";
