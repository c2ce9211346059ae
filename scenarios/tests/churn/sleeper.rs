//! A viewer that stops reading: it costs bounded memory, delays nobody, and gets the
//! newest state when it is back, not the history.

use std::time::{Instant, SystemTime};

use anyhow::{Result, ensure};
use scenarios::{
    crowd::Crowd,
    load::micros,
    probe::eventually,
    recorder::{Received, Recorder},
    report::Report,
    world::{World, objects::DISCOVERY},
};

use super::{
    cast::{Cast, Took, record, usage, viewer},
    figures::Delays,
    truth::SETTLES,
};

/// A recorder that is stopped for a while: nothing of it reads, not even its HTTP/2.
pub(super) struct Sleeper {
    recorder: Recorder,
    since: SystemTime,
    resident: u64,
}

impl Sleeper {
    pub(super) fn arrive(world: &World) -> Result<Self> {
        Ok(Self {
            recorder: record(world.cluster("c1"), NAME, &[])?,
            since: SystemTime::now(),
            resident: 0,
        })
    }

    /// It knows all, and then stops.
    pub(super) async fn sleep(
        &mut self,
        world: &World,
        cast: &mut Cast,
        report: &Report,
    ) -> Result<()> {
        let recorder = &mut self.recorder;
        let services = cast.recorder.picture()?.services();
        eventually("the sleeper knows every service", SETTLES, async || {
            let known = recorder.picture()?.services();
            ensure!(known == services, "{known} of {services}");
            Ok(())
        })
        .await?;
        recorder.process().freeze();
        self.since = SystemTime::now();
        self.resident = usage(world, DISCOVERY)?.resident;
        report.when("a viewer of everything stops reading for 20 s");
        Ok(())
    }

    /// It reads again while nothing changes.
    pub(super) async fn wakes(
        &mut self,
        world: &World,
        cast: &mut Cast,
        others: Delays,
        report: &Report,
    ) -> Result<()> {
        let grown = usage(world, DISCOVERY)?
            .resident
            .saturating_sub(self.resident);
        let due = viewer(world, NAME).await?["types"]["EDS"]["due"].clone();
        let truth = Crowd::listed(world.cluster("c1").api()).await?;
        self.recorder.process().thaw();
        let start = Instant::now();
        let recorder = &mut self.recorder;
        eventually("who slept knows what is true", SETTLES, async || {
            recorder.picture()?.agrees(&truth)
        })
        .await?;
        let took = Took(start.elapsed());
        report.measured("until it has the newest", took, &Took(SETTLES).to_string());
        let told = self.told_the_newest_only(cast)?;
        report.then(&format!("it is told of {told}; {due} names had waited"));
        let grown_text = format!("{} KiB", grown / 1024);
        report.measured(
            "growth of discovery meanwhile",
            &grown_text,
            "32 MiB at most",
        );
        ensure!(grown <= BOUND, "discovery grew by {grown_text}");
        report.fault(
            "xDS",
            "a viewer of all 10,000 endpoints stops reading for 20 s",
            "discovery grows by 32 MiB at most, others are served as before; back, it gets the newest state, not the history",
            format!("discovery grew by {grown_text}; others {others}; back in {took} by {told}"),
        );
        Ok(())
    }

    /// One response was on its way; the rest is what changed, each once.
    fn told_the_newest_only(&mut self, cast: &mut Cast) -> Result<String> {
        let mut told = assignments(self.recorder.received()?, self.since);
        let on_its_way = told.next().unwrap_or_default();
        let rest: Vec<usize> = told.collect();
        let resources: usize = rest.iter().sum();
        let history: usize = assignments(cast.recorder.received()?, self.since).sum();
        let records = cast.recorder.so_far()?.since(self.since);
        let changed = records.clusters().len();
        let told = format!(
            "{on_its_way} services on their way and {resources} in {} more responses, of which \
             {changed} had changed (others were told of {history})",
            rest.len()
        );
        ensure!(
            rest.len() <= RESPONSES && resources <= changed,
            "it got {told}"
        );
        Ok(told)
    }
}

/// How many resources each response with endpoints had since a moment.
fn assignments(received: &[Received], since: SystemTime) -> impl Iterator<Item = usize> {
    let since = micros(since);
    let of_endpoints = received
        .iter()
        .filter(move |response| response.at >= since && response.kind.ends_with(ASSIGNMENT));
    of_endpoints.map(|response| response.resources)
}

const NAME: &str = "sleeper";
const ASSIGNMENT: &str = "ClusterLoadAssignment";
/// Responses after the one that was on its way, while nothing changes.
const RESPONSES: usize = 2;
/// How much a viewer that does not read may cost, with all that changes meanwhile.
const BOUND: u64 = 32 << 20;
