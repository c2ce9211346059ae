//! Load balancers: what a cloud and kube-proxy do for Services of type `LoadBalancer`.
//!
//! Each gets an address on the wan, which its cluster's node holds. The kernel sends each new
//! connection there to one of the pods that are ready behind the Service; a connection stays
//! with its pod whatever becomes of the Service.

use std::{
    fmt::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use k8s_openapi::api::{
    core::v1::{Service, ServicePort},
    discovery::v1::EndpointSlice,
};
use kube::api::{ListParams, WatchParams};
use serde_json::json;
use tokio::{process::Command, task::JoinHandle};

use super::api::Api;
use crate::netns::Netns;

/// The load balancers of a cluster; dropped, they follow its Services no more.
#[derive(Debug)]
pub struct Balancer {
    task: JoinHandle<()>,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Balancer {
    /// Follows all Services of a cluster, giving these addresses in order. Rules go to its
    /// node, by a file in `directory`.
    ///
    /// # Errors
    /// When the node's kernel refuses.
    pub fn start(
        api: &Api,
        node: &Netns,
        directory: &Path,
        addresses: Vec<Ipv4Addr>,
    ) -> Result<Self> {
        node.run("iptables", &["-t", "nat", "-N", CHAIN])?;
        for way in ["PREROUTING", "OUTPUT"] {
            node.run("iptables", &["-t", "nat", "-A", way, "-j", CHAIN])?;
        }
        let follower = Follower {
            api: api.clone(),
            node: node.name().to_owned(),
            rules: directory.join("balancer.rules"),
            addresses,
        };
        let task = tokio::spawn(async move {
            loop {
                if let Err(error) = follower.follow().await {
                    eprintln!("the balancer of {}: {error:#}", follower.node);
                    tokio::time::sleep(RETRY).await;
                }
            }
        });
        Ok(Self { task })
    }
}

struct Follower {
    api: Api,
    node: String,
    rules: PathBuf,
    addresses: Vec<Ipv4Addr>,
}

impl Follower {
    /// Balances as slices say now, and returns when they may say something else: whatever
    /// changes the pods or the ports behind a Service changes its slices after it.
    async fn follow(&self) -> Result<()> {
        let all = ListParams::default();
        let slices: kube::Api<EndpointSlice> = kube::Api::all(self.api.client());
        let listed = slices.list(&all).await?;
        let services: kube::Api<Service> = kube::Api::all(self.api.client());
        let mut fronts = Vec::new();
        let mut services = services.list(&all).await?.items;
        services.retain(is_balanced);
        for service in &services {
            let address = match address(service) {
                Some(address) => address,
                None => self.give(service, &services).await?,
            };
            fronts.push((address, service));
        }
        self.write(&rules(&fronts, &listed.items)).await?;

        let since = listed.metadata.resource_version.unwrap_or_default();
        let changes = slices.watch(&WatchParams::default(), &since).await?;
        std::pin::pin!(changes).next().await;
        Ok(())
    }

    /// Gives a Service the first address that no other one has.
    async fn give(&self, service: &Service, all: &[Service]) -> Result<Ipv4Addr> {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let taken: Vec<_> = all.iter().filter_map(address).collect();
        let free = self.addresses.iter().find(|one| !taken.contains(one));
        let address = *free.with_context(|| format!("no address is left for {name}"))?;
        let hold = [
            "address",
            "replace",
            &format!("{address}/32"),
            "dev",
            "wan0",
        ];
        self.run("ip", &hold).await?;
        let status = json!({ "loadBalancer": { "ingress": [{ "ip": address }] } });
        let api = &self.api;
        api.set_status::<Service>(namespace, name, status).await?;
        Ok(address)
    }

    async fn write(&self, rules: &str) -> Result<()> {
        std::fs::write(&self.rules, rules)?;
        let rules = self.rules.display().to_string();
        self.run("iptables-restore", &["--noflush", &rules]).await
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.node, program])
            .args(arguments)
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program}: {}", said.trim());
        Ok(())
    }
}

fn is_balanced(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer")
}

/// The address that a Service was given.
fn address(service: &Service) -> Option<Ipv4Addr> {
    let balancer = service.status.as_ref()?.load_balancer.as_ref()?;
    let first = balancer.ingress.as_ref()?.first()?;
    first.ip.as_deref()?.parse().ok()
}

/// What `iptables-restore` makes of the whole chain at once: each pod has the same chance.
fn rules(fronts: &[(Ipv4Addr, &Service)], slices: &[EndpointSlice]) -> String {
    let mut text = format!("*nat\n:{CHAIN} - [0:0]\n");
    for (address, service) in fronts {
        let ports = service.spec.iter().flat_map(|spec| &spec.ports);
        for port in ports.flatten() {
            let targets = targets(service, port, slices);
            for (number, target) in targets.iter().enumerate() {
                let chance = 1.0 / f64::from(u32::try_from(targets.len() - number).unwrap_or(1));
                let chance = format!("-m statistic --mode random --probability {chance:.9}");
                let port = port.port;
                let _ = writeln!(
                    text,
                    "-A {CHAIN} -d {address}/32 -p tcp --dport {port} {chance} -j DNAT --to-destination {target}"
                );
            }
        }
    }
    text + "COMMIT\n"
}

/// The ready pods behind a port, each as `address:port`.
fn targets(service: &Service, port: &ServicePort, slices: &[EndpointSlice]) -> Vec<String> {
    let mut targets = Vec::new();
    for slice in slices {
        let labels = slice.metadata.labels.as_ref();
        let of = labels.and_then(|labels| labels.get("kubernetes.io/service-name"));
        let (of, namespace) = (of, &slice.metadata.namespace);
        if of != service.metadata.name.as_ref() || *namespace != service.metadata.namespace {
            continue;
        }
        let behind = slice.ports.iter().flatten();
        let behind = behind.filter(|behind| behind.name == port.name);
        for number in behind.filter_map(|behind| behind.port) {
            let ready = slice.endpoints.iter().flatten().filter(|endpoint| {
                let conditions = endpoint.conditions.as_ref();
                conditions.and_then(|conditions| conditions.ready) == Some(true)
            });
            let addresses = ready.flat_map(|endpoint| &endpoint.addresses);
            targets.extend(addresses.map(|address| format!("{address}:{number}")));
        }
    }
    targets.sort();
    targets
}

const CHAIN: &str = "BALANCE";
const RETRY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn slice(endpoints: &Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {
                "namespace": "istio-system",
                "labels": { "kubernetes.io/service-name": "gateway" },
            },
            "addressType": "IPv4",
            "ports": [{ "name": "tls", "port": 15443 }, { "name": "other", "port": 1 }],
            "endpoints": endpoints,
        }))
        .unwrap()
    }

    #[test]
    fn new_connections_go_to_ready_pods_alike() {
        let service: Service = serde_json::from_value(json!({
            "metadata": { "name": "gateway", "namespace": "istio-system" },
            "spec": { "type": "LoadBalancer", "ports": [{ "name": "tls", "port": 443 }] },
        }))
        .unwrap();
        let pod = |address: &str, ready: bool| json!({ "addresses": [address], "conditions": { "ready": ready } });
        let one = slice(&json!([pod("10.0.0.1", true), pod("10.0.0.2", false)]));
        let two = slice(&json!([pod("10.0.0.3", true)]));
        let front = (Ipv4Addr::new(172, 31, 0, 9), &service);
        let text = rules(&[front], &[one, two]);
        let rules: Vec<&str> = text.lines().filter(|line| line.contains("DNAT")).collect();
        let begin = "-A BALANCE -d 172.31.0.9/32 -p tcp --dport 443 -m statistic --mode random";
        assert_eq!(
            rules,
            [
                format!(
                    "{begin} --probability 0.500000000 -j DNAT --to-destination 10.0.0.1:15443"
                ),
                format!(
                    "{begin} --probability 1.000000000 -j DNAT --to-destination 10.0.0.3:15443"
                ),
            ]
        );
    }
}
