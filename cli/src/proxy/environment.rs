//! A gateway's pod as Istio's injector makes it, as a configuration of ours.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use eastwest::{
    Config,
    config::{self, Istiod, Node, Source, Span, State},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{any, pod};

/// The variables of a pod, and where its files are.
#[derive(Debug)]
pub(super) struct Environment<'a> {
    variables: BTreeMap<String, String>,
    root: &'a Path,
    domain: Option<&'a str>,
}

/// Istio's `ProxyConfig`, the part that counts here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProxyConfig {
    discovery_address: Option<String>,
    status_port: Option<u16>,
    concurrency: Option<usize>,
    termination_drain_duration: Option<String>,
    control_plane_auth_policy: Option<String>,
}

impl<'a> Environment<'a> {
    /// Files are found below `root`; `domain` is `<namespace>.svc.<cluster's domain>`.
    pub(super) fn new(
        variables: BTreeMap<String, String>,
        root: &'a Path,
        domain: Option<&'a str>,
    ) -> Self {
        Self {
            variables,
            root,
            domain,
        }
    }

    /// The configuration that follows.
    ///
    /// # Errors
    /// When a variable is missing or malformed.
    pub(super) fn config(&self) -> Result<Config> {
        let proxy = self.proxy_config()?;
        let metadata = self.metadata()?;
        let network = self
            .get("ISTIO_META_NETWORK")
            .or_else(|| self.get("ISTIO_META_REQUESTED_NETWORK_VIEW"))
            .context(
                "ISTIO_META_NETWORK is missing: label the pod topology.istio.io/network (chart \
                 value networkGateway)",
            )?;
        let drain = match &proxy.termination_drain_duration {
            Some(text) => Span::try_from(text.clone())
                .map_err(anyhow::Error::msg)
                .context("PROXY_CONFIG: terminationDrainDuration")?,
            None => Span::seconds(DRAIN),
        };
        Ok(Config {
            cluster: self
                .get("ISTIO_META_CLUSTER_ID")
                .unwrap_or(CLUSTER)
                .to_owned(),
            network: network.to_owned(),
            node: self.node(&metadata)?,
            listen: config::Listen {
                readiness: any(self.port("ENVOY_STATUS_PORT", 15021)?),
                metrics: any(proxy.status_port.unwrap_or(15020)),
                ..config::Listen::default()
            },
            workers: self.workers(&proxy)?,
            source: Source {
                xds: None,
                istiod: Some(self.istiod(&proxy, metadata)?),
                file: None,
            },
            state: Some(State {
                directory: self.file("var/lib/istio/data/isthmus"),
                every: Span::seconds(1),
            }),
            passthrough: config::Passthrough::default(),
            hello: config::Hello::default(),
            limits: config::Limits::default(),
            dial: config::Dial::default(),
            relay: config::Relay::default(),
            drain: config::Drain { limit: drain },
            access_log: true,
        })
    }

    /// Settings of our own, in YAML.
    pub(super) fn overrides(&self) -> Option<&str> {
        self.get("ISTHMUS_CONFIG")
    }

    /// Where Envoy would serve its metrics.
    pub(super) fn prometheus(&self) -> Result<SocketAddr> {
        Ok(any(self.port("ENVOY_PROMETHEUS_PORT", 15090)?))
    }

    fn node(&self, metadata: &Map<String, Value>) -> Result<Node> {
        let (pod, namespace) = (self.need("POD_NAME")?, self.need("POD_NAMESPACE")?);
        let address = self.need("INSTANCE_IP")?;
        let address: IpAddr = address
            .parse()
            .with_context(|| format!("INSTANCE_IP: `{address}` is no IP address"))?;
        let label = |names: &[&str]| {
            let labels = metadata.get("LABELS")?;
            let mut found = names.iter().filter_map(|name| labels.get(*name)?.as_str());
            found.next().map(str::to_owned)
        };
        let domain = self.domain.map_or("cluster.local", |domain| {
            let prefix = format!("{namespace}.svc.");
            domain.strip_prefix(&prefix).unwrap_or(domain)
        });
        Ok(Node {
            pod: pod.to_owned(),
            namespace: namespace.to_owned(),
            address,
            workload: self
                .get("ISTIO_META_WORKLOAD_NAME")
                .unwrap_or(pod)
                .to_owned(),
            canonical_name: label(&CANONICAL_NAME),
            canonical_revision: label(&CANONICAL_REVISION),
            domain: domain.to_owned(),
        })
    }

    fn istiod(&self, proxy: &ProxyConfig, metadata: Map<String, Value>) -> Result<Istiod> {
        let address = proxy.discovery_address.as_deref().unwrap_or(ISTIOD);
        let header = |(name, value): (&String, &String)| {
            let name = name.strip_prefix("XDS_HEADER_")?;
            Some((name.to_owned(), value.clone()))
        };
        let plain_text = proxy.control_plane_auth_policy.as_deref() == Some("NONE")
            || address.ends_with(":15010");
        Ok(Istiod {
            address: address.to_owned(),
            server_name: self.get("ISTIOD_SAN").map(str::to_owned),
            root: self.root_certificates()?,
            token: self.file("var/run/secrets/tokens/istio-token"),
            plain_text,
            headers: self.variables.iter().filter_map(header).collect(),
            metadata,
            hold: Span::seconds(60),
        })
    }

    /// As pilot-agent finds them (`pkg/istio-agent/agent.go:FindRootCAForXDS`).
    fn root_certificates(&self) -> Result<PathBuf> {
        match self.get("XDS_ROOT_CA") {
            Some("SYSTEM") => bail!(
                "XDS_ROOT_CA=SYSTEM: the system's roots are not read here; name a file with \
                 istiod's root"
            ),
            Some(file) => return Ok(self.file(file)),
            None => {}
        }
        let mounted = self.file("etc/certs/root-cert.pem");
        Ok(match mounted.exists() {
            true => mounted,
            false => self.file("var/run/secrets/istio/root-cert.pem"),
        })
    }

    /// As pilot-agent makes it (`pkg/bootstrap/config.go:GetNodeMetaData`).
    fn metadata(&self) -> Result<Map<String, Value>> {
        let mut all = Map::new();
        for (name, value) in &self.variables {
            if let Some(key) = name.strip_prefix("ISTIO_META_") {
                all.insert(key.to_owned(), json!(value));
            }
        }
        let mut labels = Map::new();
        for (name, value) in &self.variables {
            let Some(key) = name.strip_prefix("ISTIO_METAJSON_") else {
                continue;
            };
            let object: Map<String, Value> =
                serde_json::from_str(value).with_context(|| format!("{name} is no JSON object"))?;
            match key {
                "LABELS" => labels.extend(object),
                _ => all.extend(object),
            }
        }
        labels.extend(pod::read(&self.file("etc/istio/pod/labels"))?);
        labels.remove("pod-template-hash");
        let annotations = pod::read(&self.file("etc/istio/pod/annotations"))?;
        for (key, object) in [("LABELS", labels), ("ANNOTATIONS", annotations)] {
            if !object.is_empty() {
                all.insert(key.to_owned(), Value::Object(object));
            }
        }
        if let Some(account) = self.get("SERVICE_ACCOUNT") {
            all.insert("SERVICE_ACCOUNT".to_owned(), json!(account));
        }
        if let Some(text) = self.get("PROXY_CONFIG") {
            let config: Value = serde_yaml_ng::from_str(text).context("PROXY_CONFIG is no YAML")?;
            all.insert("PROXY_CONFIG".to_owned(), config);
        }
        all.entry("ISTIO_VERSION")
            .or_insert_with(|| json!(ISTIO_VERSION));
        Ok(all)
    }

    fn proxy_config(&self) -> Result<ProxyConfig> {
        let text = self.get("PROXY_CONFIG").unwrap_or("{}");
        serde_yaml_ng::from_str(text).context("PROXY_CONFIG is no ProxyConfig of Istio")
    }

    fn workers(&self, proxy: &ProxyConfig) -> Result<usize> {
        match (proxy.concurrency, self.get("ISTIO_CPU_LIMIT")) {
            (Some(count), _) => Ok(count),
            (None, Some(limit)) => limit
                .parse()
                .with_context(|| format!("ISTIO_CPU_LIMIT: `{limit}` is no number of cores")),
            (None, None) => Ok(0),
        }
    }

    fn port(&self, name: &str, default: u16) -> Result<u16> {
        self.get(name).map_or(Ok(default), |port| {
            port.parse()
                .with_context(|| format!("{name}: `{port}` is no port"))
        })
    }

    fn need(&self, name: &str) -> Result<&str> {
        self.get(name).with_context(|| {
            format!("{name} is missing: is this pod made by Istio's injector (template gateway)?")
        })
    }

    fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// `pkg/config/mesh/mesh.go:DefaultProxyConfig`.
const ISTIOD: &str = "istiod.istio-system.svc:15012";
/// istiod's name for a cluster that nobody named.
const CLUSTER: &str = "Kubernetes";
/// The release whose configuration is understood.
const ISTIO_VERSION: &str = "1.32.0";
/// Five seconds less than a pod's usual grace; Istio's own gateway resets after five.
const DRAIN: u64 = 25;
const CANONICAL_NAME: [&str; 3] = [
    "service.istio.io/canonical-name",
    "app.kubernetes.io/name",
    "app",
];
const CANONICAL_REVISION: [&str; 3] = [
    "service.istio.io/canonical-revision",
    "app.kubernetes.io/version",
    "version",
];
