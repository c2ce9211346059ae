//! Many endpoints that no program stands behind: Services, Pods and EndpointSlices written
//! straight to an API server, changed at a pace, and a diary of every change.

mod group;

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use self::group::{Group, Way};
use crate::{load::micros, topology::ClusterPlan, world::api::Api};

/// The endpoints of one cluster.
#[derive(Debug)]
pub struct Crowd {
    groups: Vec<Group>,
    diary: Diary,
}

/// Changes that go on until they are stopped.
#[derive(Debug)]
pub struct Churn {
    workers: JoinSet<Result<Vec<Group>>>,
    stop: watch::Sender<bool>,
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
}

impl Crowd {
    /// Creates `services` with `each` endpoints, all ready and exported.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn gather(api: &Api, plan: &ClusterPlan, services: u8, each: u8) -> Result<Self> {
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

    /// Lets endpoints go and come back, one change every `pace`, every third by way of its
    /// Pod, until [`Crowd::rest`].
    #[must_use]
    pub fn churn(&mut self, pace: Duration) -> Churn {
        let stop = watch::Sender::new(false);
        let mut shares: Vec<Vec<Group>> = (0..AT_ONCE).map(|_| Vec::new()).collect();
        for (index, group) in self.groups.drain(..).enumerate() {
            shares[index % AT_ONCE].push(group);
        }
        let mut workers = JoinSet::new();
        for groups in shares {
            let every = pace * u32::try_from(AT_ONCE).unwrap_or(1);
            workers.spawn(work(groups, every, stop.subscribe()));
        }
        Churn { workers, stop }
    }

    /// Ends a churn; every endpoint is there again.
    ///
    /// # Errors
    /// When a write of it failed.
    pub async fn rest(&mut self, mut churn: Churn) -> Result<()> {
        churn.stop.send_replace(true);
        while let Some(groups) = churn.workers.join_next().await {
            self.groups.extend(groups??);
        }
        Ok(())
    }

    /// Lets the `number`th endpoint of so many services go, every other by way of its Pod.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn leave(&mut self, services: usize, number: usize) -> Result<()> {
        for (index, group) in self.groups.iter_mut().take(services).enumerate() {
            group.leave(number, Way::alternate(index, 2)).await?;
        }
        Ok(())
    }

    /// Lets them come back.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn come(&mut self, services: usize, number: usize) -> Result<()> {
        for group in self.groups.iter_mut().take(services) {
            group.come(number).await?;
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

/// One endpoint after another goes, and comes back with the next change.
async fn work(
    mut groups: Vec<Group>,
    every: Duration,
    mut stop: watch::Receiver<bool>,
) -> Result<Vec<Group>> {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0.. {
        for (index, group) in groups.iter_mut().enumerate() {
            ticks.tick().await;
            group.leave(round, Way::alternate(round + index, 3)).await?;
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            group.come(round).await?;
            if *stop.borrow() {
                return Ok(groups);
            }
        }
    }
    Ok(groups)
}

/// An address of the crowd: outside of every range of pods that are real.
fn address(service: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, service, number + 1)
}

/// Requests that are under way at a time.
const AT_ONCE: usize = 10;
