//! Something measured of both gateways.

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};
use scenarios::{
    topology::GATEWAY,
    usage::{Usage, running},
    world::{Cluster, pod::Pod},
};

use crate::istio::OURS;

/// The same of an Envoy and of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Both<T> {
    pub(super) envoy: T,
    pub(super) ours: T,
}

impl<T> Both<T> {
    pub(super) fn map<U>(self, each: impl Fn(T) -> U) -> Both<U> {
        Both {
            envoy: each(self.envoy),
            ours: each(self.ours),
        }
    }

    pub(super) fn zip<U>(self, other: Both<U>) -> Both<(T, U)> {
        Both {
            envoy: (self.envoy, other.envoy),
            ours: (self.ours, other.ours),
        }
    }
}

/// The processes that are compared: Envoy without the agent that started it, and ours.
pub(super) fn processes(cluster: &Cluster) -> Result<Both<u32>> {
    Ok(Both {
        envoy: envoy(program(cluster.pod(GATEWAY)?)?)?,
        ours: program(cluster.pod(OURS)?)?,
    })
}

/// The program of a gateway's pod.
pub(super) fn program(pod: &Pod) -> Result<u32> {
    let program = pod.processes().first().context("a pod without a program")?;
    Ok(program.id())
}

/// The Envoy that an agent has started, by whichever of its threads.
pub(super) fn envoy(agent: u32) -> Result<u32> {
    for task in fs::read_dir(format!("/proc/{agent}/task"))? {
        let children = fs::read_to_string(task?.path().join("children"))?;
        if let Some(pid) = children.split_whitespace().next() {
            return Ok(pid.parse()?);
        }
    }
    bail!("the agent has no Envoy")
}

/// Processor time of both so far.
pub(super) fn processor_time(of: Both<u32>) -> Result<Both<Duration>> {
    Ok(Both {
        envoy: running(of.envoy)?,
        ours: running(of.ours)?,
    })
}

/// Memory of both now.
pub(super) fn memory(of: Both<u32>) -> Result<Both<Usage>> {
    Ok(Both {
        envoy: Usage::of(of.envoy)?,
        ours: Usage::of(of.ours)?,
    })
}
