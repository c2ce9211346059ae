//! What is on disk is damaged: it is set aside, and the truth comes from who knows it.

use std::{fs, path::Path, time::SystemTime};

use anyhow::{Context, Result, ensure};
use scenarios::{
    probe::eventually,
    report::{Report, Took},
    topology::GATEWAY,
    world::{World, objects::DISCOVERY, pod::Pod},
};

use super::{
    pages::{comes_back, gateway, said},
    traffic::{Away, Step, Traffic},
};
use crate::{
    reading::{cluster_at, clusters},
    setting::{ARRIVAL, weighs},
};

/// How a file is damaged.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// A bit in its middle.
    Flipped,
    /// Its second half is missing.
    Truncated,
}

pub(super) async fn is_set_aside(
    world: &mut World,
    traffic: &mut Traffic,
    report: &Report,
) -> Result<()> {
    for damage in [Damage::Flipped, Damage::Truncated] {
        traffic.took(of_a_snapshot(world, damage, report).await?);
        traffic.took(of_a_table(world, damage, report).await?);
    }
    Ok(())
}

async fn of_a_snapshot(world: &mut World, damage: Damage, report: &Report) -> Result<Step> {
    let begun = SystemTime::now();
    let discovery = world.cluster_mut("c1").pod_mut(DISCOVERY)?;
    discovery.kill();
    let damaged = damage.inflict(&discovery.state().join("snapshot"))?;
    report.when(&format!(
        "c1's discovery is killed, its snapshot {}",
        damage.word()
    ));
    let complaints = said(discovery, NOT_USED_SNAPSHOT)?;
    let started = SystemTime::now();
    let ready = Took(comes_back(discovery).await?.duration_since(started)?);
    let reason = clusters(discovery).await?["snapshot"]["setAside"].clone();
    is_aside(discovery, "snapshot", &damaged, reason.as_str())?;
    ensure!(
        said(discovery, NOT_USED_SNAPSHOT)? == complaints + 1,
        "its log does not say so"
    );
    for cluster in ["c1", "c2"] {
        eventually("all is known again", ARRIVAL, async || {
            let shown = cluster_at(world, "c1", cluster).await?;
            ensure!(
                shown["state"] == "live" && shown["remembered"] == false,
                "{shown}"
            );
            Ok(())
        })
        .await?;
    }
    weighs(world, 1, 1).await?;
    is_kept_again(world.cluster("c1").pod(DISCOVERY)?, "snapshot").await?;
    report.then(&format!("ready after {ready}; it says {reason}"));
    Ok(Step {
        fault: damage.fault("the snapshot of c1's discovery"),
        promise: "set aside with the reason on its page and in its log; all is listed anew",
        begun,
        ended: SystemTime::now(),
        away: None,
        measured: format!("ready after {ready}"),
    })
}

async fn of_a_table(world: &mut World, damage: Damage, report: &Report) -> Result<Step> {
    let begun = SystemTime::now();
    let pod = world.cluster_mut("c2").pod_mut(GATEWAY)?;
    let killed = SystemTime::now();
    pod.kill();
    let damaged = damage.inflict(&pod.state().join("table"))?;
    report.when(&format!(
        "c2's gateway is killed, its table {}",
        damage.word()
    ));
    let complaints = said(pod, NOT_USED_TABLE)?;
    let back = comes_back(pod).await?;
    let away = Away { killed, back };
    let reason = gateway(world, "/debug/sync").await?["setAside"].clone();
    let pod = world.cluster("c2").pod(GATEWAY)?;
    is_aside(pod, "table", &damaged, reason.as_str())?;
    ensure!(
        said(pod, NOT_USED_TABLE)? == complaints + 1,
        "its log does not say so"
    );
    is_kept_again(pod, "table").await?;
    let ready = Took(back.duration_since(killed)?);
    report.then(&format!("ready after {ready}; it says {reason}"));
    Ok(Step {
        fault: damage.fault("the table of c2's gateway"),
        promise: "set aside with the reason on its page and in its log; discovery tells it anew",
        begun,
        ended: SystemTime::now(),
        away: Some(away),
        measured: format!("ready after {ready}"),
    })
}

/// The damaged file lies aside, with the reason.
fn is_aside(pod: &Pod, name: &str, damaged: &[u8], reason: Option<&str>) -> Result<()> {
    let reason = reason.context("it does not say that it set anything aside")?;
    ensure!(
        reason.contains("truncated or was changed"),
        "it says {reason}"
    );
    let aside = pod.state().join(format!("{name}.set-aside"));
    ensure!(
        reason.contains(&aside.display().to_string()),
        "it says {reason}"
    );
    ensure!(fs::read(&aside)? == damaged, "another file lies aside");
    Ok(())
}

async fn is_kept_again(pod: &Pod, name: &str) -> Result<()> {
    let path = pod.state().join(name);
    eventually("a good one is kept", ARRIVAL, async || {
        ensure!(path.exists(), "there is no {}", path.display());
        Ok(())
    })
    .await
}

impl Damage {
    /// Does it, and returns what is there then.
    fn inflict(self, path: &Path) -> Result<Vec<u8>> {
        let mut bytes = fs::read(path)?;
        let middle = bytes.len() / 2;
        match self {
            Self::Flipped => bytes[middle] ^= 1,
            Self::Truncated => bytes.truncate(middle),
        }
        fs::write(path, &bytes)?;
        Ok(bytes)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Flipped => "has a bit flipped",
            Self::Truncated => "is cut in half",
        }
    }

    fn fault(self, what: &'static str) -> String {
        format!("{what} {} while it is dead", self.word())
    }
}

const NOT_USED_SNAPSHOT: &str = "snapshot not used";
const NOT_USED_TABLE: &str = "kept table not used";
