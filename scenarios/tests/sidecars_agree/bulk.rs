//! Large bodies pass whole, and are not collected.

use std::fs;

use anyhow::{Context, Result, ensure};
use scenarios::{
    report::Report,
    world::{World, pod::Pod},
};
use serde_json::Value;

use super::cast::CLIENTS;

/// Clients and the kinds of their servers; two Envoys show it in `two_clusters`.
const PAIRS: [(&str, &str); 3] = [
    ("client-envoy", "builtin"),
    ("client-builtin", "envoy"),
    ("client-builtin", "builtin"),
];
const BYTES: &str = "200000000";

pub(super) async fn arrives_intact(world: &World, report: &Report) -> Result<()> {
    for (name, kind) in PAIRS {
        let client = world.cluster("c1").pod(name)?;
        let host = format!("archive-{kind}.sample.svc.cluster.local");
        for direction in [&["--up"][..], &[]] {
            let arguments = ["transfer", "--host", &host, "--bytes", BYTES];
            let moved: Value = client.ask(&[&arguments[..], direction].concat()).await?;
            ensure!(
                moved["intact"] == true,
                "{name} {kind} {direction:?}: {moved}"
            );
            let way = if direction.is_empty() { "from" } else { "to" };
            let seconds = moved["seconds"].as_f64().unwrap_or_default();
            report.measured(
                &format!("{name}: {BYTES} bytes {way} a server behind {kind}"),
                format!("whole, in {seconds:.2} s"),
                "intact",
            );
        }
    }
    Ok(())
}

/// What both clients' sidecars hold after all that, and held at most.
pub(super) fn memory(world: &World, report: &Report) -> Result<()> {
    let mut told = Vec::new();
    for name in CLIENTS {
        let (now, most) = resident(world.cluster("c1").pod(name)?)?;
        ensure!(
            most < COLLECTED,
            "{name} held {most} KiB: a body was collected"
        );
        told.push(format!(
            "{name} {:.1} MiB (at most {:.1})",
            mib(now),
            mib(most)
        ));
    }
    let promise = "no body is collected";
    report.measured("resident memory of the sidecars", told.join(", "), promise);
    Ok(())
}

/// Resident memory of a pod's only program in KiB, now and at most.
fn resident(pod: &Pod) -> Result<(u32, u32)> {
    let program = pod.processes().first().context("no program")?;
    let text = fs::read_to_string(format!("/proc/{}/status", program.id()))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        number.with_context(|| format!("no {name} in {text}"))
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

fn mib(kib: u32) -> f64 {
    f64::from(kib) / 1024.0
}

/// A program that holds this much in KiB holds a body.
const COLLECTED: u32 = 195_312;
