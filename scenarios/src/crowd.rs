//! Many endpoints that no program stands behind: Services, Pods and EndpointSlices written
//! straight to an API server, changed at a pace, and a diary of every change.

mod churn;
mod group;

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use self::group::{Group, NAMESPACE, Way};
use crate::{load::micros, picture::Picture, topology::ClusterPlan, world::api::Api};

pub use churn::{Churn, Pause, Tempo};

/// The endpoints of one cluster.
#[derive(Debug)]
pub struct Crowd {
    groups: Vec<Group>,
    diary: Diary,
}

/// A change of an endpoint, written to the API server.
#[derive(Debug, Clone)]
pub struct Written {
    /// When the request left, in microseconds since 1970.
    pub begun: u64,
    /// Address and port.
    pub address: String,
    /// Whether the endpoint came or went.
    pub present: bool,
}

/// A version that the API server has given to a change.
#[derive(Debug, Clone)]
pub struct Version {
    /// When it was answered, in microseconds since 1970.
    pub done: u64,
    /// The resource in the plural.
    pub resource: &'static str,
    /// The version.
    pub number: u64,
}

/// Everything that was written.
#[derive(Debug, Clone, Default)]
pub struct Diary(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    written: Vec<Written>,
    versions: Vec<Version>,
    requests: usize,
}

impl Crowd {
    /// Creates `services` with `each` endpoints, all ready and exported.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn gather(api: &Api, plan: &ClusterPlan, services: u16, each: u8) -> Result<Self> {
        let diary = Diary::default();
        let mut groups: Vec<Group> = (0..services)
            .map(|number| Group::new(api.clone(), plan.clone(), diary.clone(), number, each))
            .collect();
        let share = groups.len().div_ceil(AT_ONCE).max(1);
        try_join_all(groups.chunks_mut(share).map(async |some| {
            for group in some {
                group.create().await?;
            }
            anyhow::Ok(())
        }))
        .await?;
        Ok(Self { groups, diary })
    }

    /// What was written.
    #[must_use]
    pub fn diary(&self) -> &Diary {
        &self.diary
    }

    /// The endpoints that are there, as address and port.
    #[must_use]
    pub fn truth(&self) -> BTreeSet<String> {
        self.groups.iter().flat_map(Group::present).collect()
    }

    /// What the API server says at this moment: each service with the endpoints in its
    /// slices.
    ///
    /// # Errors
    /// When the API refuses, or a slice is of no service.
    pub async fn listed(api: &Api) -> Result<Picture> {
        let label = format!("endpointslice.kubernetes.io/managed-by={MANAGER}");
        let slices: Vec<EndpointSlice> = api.list(NAMESPACE, &label).await?;
        let mut picture = Picture::default();
        for slice in slices {
            let labels = slice.metadata.labels.unwrap_or_default();
            let service = labels.get("kubernetes.io/service-name");
            let service = service.context("a slice of no service")?;
            let port = slice.ports.iter().flatten().find_map(|port| port.port);
            let port = port.context("a slice without a port")?;
            picture.know(service);
            for endpoint in slice.endpoints.unwrap_or_default() {
                let address = endpoint.addresses.first().context("no address")?;
                picture.add(service, &format!("{address}:{port}"));
            }
        }
        Ok(picture)
    }

    /// Lets endpoints go and come back until [`Crowd::rest`]: at any time half of the
    /// services lack some.
    #[must_use]
    pub fn churn(&mut self, tempo: impl Into<Tempo>) -> Churn {
        let mut shares: Vec<Vec<Group>> = (0..AT_ONCE).map(|_| Vec::new()).collect();
        for (index, group) in self.groups.drain(..).enumerate() {
            shares[index % AT_ONCE].push(group);
        }
        Churn::begin(shares, tempo.into())
    }

    /// Ends a churn; every endpoint is there again.
    ///
    /// # Errors
    /// When a write of it failed.
    pub async fn rest(&mut self, churn: Churn) -> Result<()> {
        self.groups.extend(churn.end().await?);
        Ok(())
    }

    /// Lets the `number`th endpoint of so many services go, every other by way of its Pod.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn leave(&mut self, services: usize, number: usize) -> Result<()> {
        for (index, group) in self.groups.iter_mut().take(services).enumerate() {
            group
                .leave(number..number + 1, Way::alternate(index, 2))
                .await?;
        }
        Ok(())
    }

    /// Lets them come back.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn come(&mut self, services: usize, number: usize) -> Result<()> {
        for group in self.groups.iter_mut().take(services) {
            group.come(number..number + 1).await?;
        }
        Ok(())
    }
}

impl Diary {
    /// Every change of an endpoint, in order of its end.
    #[must_use]
    pub fn written(&self) -> Vec<Written> {
        self.pages().written.clone()
    }

    /// How many requests were made for all of it.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.pages().requests
    }

    /// The newest version of a resource that was given before a moment.
    ///
    /// # Errors
    /// When there is none.
    pub fn version(&self, resource: &str, before: SystemTime) -> Result<u64> {
        let before = micros(before);
        let pages = self.pages();
        let given = pages.versions.iter();
        given
            .filter(|version| version.resource == resource && version.done < before)
            .map(|version| version.number)
            .max()
            .with_context(|| format!("nothing was written to {resource}"))
    }

    fn write(&self, begun: SystemTime, address: String, present: bool) {
        let begun = micros(begun);
        self.pages().written.push(Written {
            begun,
            address,
            present,
        });
    }

    fn request(&self) {
        self.pages().requests += 1;
    }

    fn version_given(&self, resource: &'static str, number: Option<&str>) -> Result<()> {
        let number = number.context("an answer without a version")?.parse()?;
        let done = micros(SystemTime::now());
        self.pages().versions.push(Version {
            done,
            resource,
            number,
        });
        Ok(())
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address of the crowd: outside of every range of pods that are real.
fn address(service: u16, member: u8) -> Ipv4Addr {
    let [high, low] = service.to_be_bytes();
    Ipv4Addr::new(10, 77 + high, low, member + 1)
}

/// Requests that are under way at a time.
const AT_ONCE: usize = 20;

/// Who writes the slices, as their label says.
const MANAGER: &str = "crowd";
