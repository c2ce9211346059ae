//! What was measured, as a table, and what must hold of it.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use scenarios::usage::Usage;

use super::{
    change::{CHANGES, Cost, Kind},
    cost::Both,
    mesh::Load,
};

/// All of it.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) profile: String,
    pub(super) services: u16,
    pub(super) loads: Both<Load>,
    pub(super) loaded: Both<Usage>,
    pub(super) changes: Vec<(Kind, Cost)>,
    pub(super) changed: Both<Usage>,
}

impl Figures {
    /// Of memory of its own ours takes a tenth of Envoy's, and stays at that; of processor time
    /// no more than Envoy, but for an endpoint that moves, and for the first of a service in a
    /// build for tests. In one for users it keeps to the goals: to that for memory, and to five
    /// times those for time, since other work may be going on here.
    pub(super) fn hold(&self) -> Result<()> {
        for both in [self.loaded, self.changed] {
            let Both { envoy, ours } = both.map(|usage| usage.anonymous);
            ensure!(ours * 10 <= envoy, "ours holds {ours} bytes, Envoy {envoy}");
        }
        let (before, after) = (self.loaded.ours.anonymous, self.changed.ours.anonymous);
        ensure!(
            after <= before + FLAT,
            "ours grew from {before} to {after} bytes"
        );
        no_more("to load", self.loads.map(|load| load.processor))?;
        let tests = self.profile == DEBUG;
        for (kind, cost) in &self.changes {
            let held = match kind {
                Kind::Service => true,
                Kind::Endpoint => !tests,
                Kind::Move => false,
            };
            if held {
                no_more(&format!("for {kind}"), cost.processor)?;
            }
        }
        match tests || self.services > MOST {
            true => Ok(()),
            false => self.keep_to_goals(),
        }
    }

    fn keep_to_goals(&self) -> Result<()> {
        for resident in [self.loaded, self.changed].map(|both| both.ours.resident) {
            ensure!(
                resident <= MEMORY,
                "ours takes {resident} of {MEMORY} bytes"
            );
        }
        let within = |what: &str, took: Duration, goal: Duration| {
            ensure!(took <= goal * 5, "{what}: {took:?}, the goal is {goal:?}");
            Ok(())
        };
        within("to load", self.loads.ours.processor, LOAD)?;
        for (kind, cost) in &self.changes {
            let (processor, effect) = (cost.processor.ours, cost.after_push.ours);
            within(&format!("{kind}: processor time"), processor, PROCESSOR)?;
            within(&format!("{kind}: to effect"), effect, EFFECT)?;
        }
        Ok(())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        writeln!(
            f,
            "\n{} services with 2 endpoints each, {}, profile {}:\n",
            self.services,
            &now[..10],
            self.profile
        )?;
        writeln!(
            f,
            "| | Envoy 1.40 | ours | goal at 5,000 |\n|---|---|---|---|"
        )?;
        row(
            f,
            "resident when loaded",
            self.loaded.map(memory),
            &mib(MEMORY),
        )?;
        let after = format!(
            "resident after {} more changes",
            self.changes.len() * CHANGES
        );
        row(f, &after, self.changed.map(memory), &mib(MEMORY))?;
        let loads = self.loads.map(|load| seconds(load.processor));
        row(f, "processor time to load", loads, &seconds(LOAD))?;
        let starts = self.loads.map(|load| seconds(load.took));
        row(f, "from its start until it serves", starts, "")?;
        for (kind, cost) in &self.changes {
            let (what, processor) = (
                format!("{kind}: processor time"),
                cost.processor.map(seconds),
            );
            row(f, &what, processor, &seconds(PROCESSOR))?;
            let effect = cost.effect.map(millis);
            row(f, &format!("{kind}: write to effect"), effect, "")?;
            let after_push = cost.after_push.map(millis);
            let what = format!("{kind}: istiod's push to effect");
            row(f, &what, after_push, &millis(EFFECT))?;
        }
        writeln!(f)
    }
}

fn row(f: &mut fmt::Formatter<'_>, what: &str, values: Both<String>, goal: &str) -> fmt::Result {
    let Both { envoy, ours } = values;
    writeln!(f, "| {what} | {envoy} | {ours} | {goal} |")
}

/// Ours takes no more processor time than Envoy.
fn no_more(what: &str, Both { envoy, ours }: Both<Duration>) -> Result<()> {
    ensure!(ours <= envoy, "ours takes {ours:?} {what}, Envoy {envoy:?}");
    Ok(())
}

/// Of that, what is not mapped from a file.
fn memory(of: Usage) -> String {
    let (all, own) = (mib(of.resident), mib(of.anonymous));
    format!("{all}, {own} without files")
}

fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

fn seconds(of: Duration) -> String {
    format!("{:.3} s", of.as_secs_f64())
}

fn millis(of: Duration) -> String {
    format!("{} ms", of.as_millis())
}

const DEBUG: &str = "dev";
/// The goals for as many services as this, and fewer.
const MOST: u16 = 5000;
const MEMORY: u64 = 48 << 20;
const LOAD: Duration = Duration::from_millis(350);
const PROCESSOR: Duration = Duration::from_millis(30);
const EFFECT: Duration = Duration::from_millis(50);
/// What counts as no growth.
const FLAT: u64 = 4 << 20;
