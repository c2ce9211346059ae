//! The machine as the kubelet of an embedded cluster: each pod is an application inside this
//! process with a sidecar beside it, at addresses of their own.
//!
//! What a pod runs is said by its image: `helloworld:VERSION` is the application behind a
//! sidecar, `client` a sidecar alone.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use tokio::{net::TcpListener, time::sleep};

use super::{
    proxy::{Proxy, Workshop},
    slice::Slice,
};
use crate::{
    apiserver::{Kubelet, Report},
    hello,
    topology::{APP_PORT, ClusterPlan},
    world::{
        bootstrap,
        objects::{DISCOVERY, DISCOVERY_NAMESPACE},
        role::secrets_socket,
    },
};

/// The kubelet of one cluster.
#[derive(Debug)]
pub(super) struct Host {
    plan: ClusterPlan,
    slice: Slice,
    workshop: Arc<Workshop>,
    numbers: Arc<Mutex<Numbers>>,
}

/// The numbers that pods have.
#[derive(Debug, Default)]
struct Numbers {
    taken: BTreeSet<u8>,
    last: u8,
}

/// The number of a pod, given back when dropped.
struct Number {
    value: u8,
    numbers: Arc<Mutex<Numbers>>,
}

/// A pod as it is run.
struct Seat {
    name: String,
    namespace: String,
    account: String,
    /// What it runs; a client has none.
    version: Option<String>,
    address: IpAddr,
    /// What is 127.0.0.1 in it.
    loopback: IpAddr,
    bootstrap: Value,
    workshop: Arc<Workshop>,
    _number: Number,
}

impl Host {
    /// The kubelet of the cluster of this plan.
    #[must_use]
    pub(super) fn new(plan: ClusterPlan, slice: Slice, workshop: Workshop) -> Self {
        Self {
            plan,
            slice,
            workshop: Arc::new(workshop),
            numbers: Arc::default(),
        }
    }

    fn seat(&self, pod: &Pod) -> Result<Seat> {
        let name = pod.metadata.name.clone().context("a pod without a name")?;
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let spec = pod.spec.as_ref().context("a pod without a spec")?;
        let image = spec.containers.first().and_then(|c| c.image.as_deref());
        let version = match image.unwrap_or_default().rsplit_once(':') {
            Some(("helloworld", version)) => Some(version.to_owned()),
            _ if image == Some("client") => None,
            _ => bail!("no image {image:?} here: there are helloworld:VERSION and client"),
        };
        let number = Number::take(&self.numbers).context("no pod address is left")?;
        let address = self.slice.pod(number.value);
        let loopback = self.slice.inside(address).context("not a pod's address")?;
        let account = spec.service_account_name.clone().unwrap_or_default();
        let identity = self.plan.identity(DISCOVERY_NAMESPACE, DISCOVERY);
        let file = bootstrap::Bootstrap {
            pod: &name,
            namespace: &namespace,
            address,
            loopback,
            workload: &account,
            secrets: &secrets_socket(&self.workshop.directory, &account),
            discovery: self.workshop.discovery,
            identity: &identity,
        };
        Ok(Seat {
            bootstrap: file.value(),
            workshop: Arc::clone(&self.workshop),
            name,
            namespace,
            account,
            version,
            address,
            loopback,
            _number: number,
        })
    }
}

impl Kubelet for Host {
    fn run(&self, pod: Pod, report: Report) -> BoxFuture<'static, ()> {
        let seat = self.seat(&pod);
        Box::pin(async move {
            let name = pod.metadata.name.unwrap_or_default();
            match seat {
                Ok(seat) => {
                    if let Err(error) = seat.run(&report).await {
                        tracing::warn!(pod = name, error = format!("{error:#}"), "pod failed");
                        sleep(RESTART).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(pod = name, error = format!("{error:#}"), "pod not run");
                    report.stopped().await;
                }
            }
        })
    }
}

impl Seat {
    /// Runs it until it shall stop.
    async fn run(self, report: &Report) -> Result<()> {
        tracing::debug!(
            pod = self.name,
            namespace = self.namespace,
            account = self.account,
            "pod starts"
        );
        let mut application = self.application().await?;
        let (workshop, bootstrap) = (&self.workshop, &self.bootstrap);
        let mut proxy = Proxy::start(workshop, &self.name, self.loopback, bootstrap).await?;
        report.running(self.address, false);
        let inbound = format!("inbound_{}_{APP_PORT}", self.address);
        let expected = if self.version.is_some() {
            inbound.as_str()
        } else {
            "outbound"
        };
        tokio::select! {
            ended = proxy.watch(expected, || report.ready(true)) => ended?,
            () = report.stopped() => {}
            ended = &mut application => ended.context("the application ended")?,
        }
        // Endpoints leave as soon as the API is told; whoever has not heard of it yet, or has a
        // connection still, is served and sent elsewhere.
        proxy.drain().await?;
        tokio::select! {
            () = sleep(LINGER) => {}
            ended = application => ended.context("the application ended")?,
        }
        proxy.stop().await;
        Ok(())
    }

    /// The application at work, or what never ends.
    async fn application(&self) -> Result<BoxFuture<'static, Result<()>>> {
        let Some(version) = self.version.clone() else {
            return Ok(Box::pin(std::future::pending()));
        };
        let listener = TcpListener::bind((self.loopback, APP_PORT)).await;
        let listener = listener.context("the application cannot listen")?;
        let pod = self.name.clone();
        Ok(Box::pin(async move {
            Ok(hello::serve(listener, version, pod).await?)
        }))
    }
}

impl Number {
    /// The next that is free: one that was just given back is not taken at once, so that
    /// nobody is taken for the pod before.
    fn take(numbers: &Arc<Mutex<Numbers>>) -> Option<Self> {
        let mut all = numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let after = all.last.saturating_add(1)..=LAST;
        let mut candidates = after.chain(1..=all.last.min(LAST));
        let value = candidates.find(|number| !all.taken.contains(number))?;
        all.taken.insert(value);
        all.last = value;
        Some(Self {
            value,
            numbers: Arc::clone(numbers),
        })
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let mut all = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        all.taken.remove(&self.value);
    }
}

const LAST: u8 = 254;
const RESTART: Duration = Duration::from_secs(1);
/// As a `preStop` sleep.
const LINGER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_not_given_again_while_another_is_free() {
        let numbers = Arc::default();
        let take = || Number::take(&numbers);
        let first = take().unwrap();
        assert_eq!(first.value, 1);
        drop(first);
        let others: Vec<Number> = (2..=254).map(|_| take().unwrap()).collect();
        assert_eq!(others.first().map(|number| number.value), Some(2));
        assert_eq!(take().map(|number| number.value), Some(1));
        let again = take().unwrap();
        assert_eq!(again.value, 1);
        assert!(take().is_none());
    }
}
