//! The two loads, and what each step of the story cost them.

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use scenarios::{
    load::{Answer, Answers, Load, micros},
    probe::eventually,
    report::{Report, Took},
    world::World,
};

use crate::setting::{ARCHIVE, ARRIVAL, HELLOWORLD};

/// The loads that run through the story.
pub(super) struct Traffic {
    both: Load,
    only: Load,
    steps: Vec<Step>,
}

/// One thing that was done under load.
pub(super) struct Step {
    /// What was done, for the table of faults.
    pub(super) fault: String,
    /// What is promised beside the requests.
    pub(super) promise: &'static str,
    /// From when to when.
    pub(super) begun: SystemTime,
    pub(super) ended: SystemTime,
    /// When the gateway that the requests cross was away.
    pub(super) away: Option<Away>,
    /// What else was measured.
    pub(super) measured: String,
}

/// The absence of a process: from its death to the first readiness after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Away {
    pub(super) killed: SystemTime,
    pub(super) back: SystemTime,
}

impl Traffic {
    /// Starts both loads in c1 and waits until everybody answers.
    pub(super) async fn start(world: &World) -> Result<Self> {
        let client = world.cluster("c1").pod("client")?;
        let mut traffic = Self {
            both: Load::start(client, HELLOWORLD, PACE)?,
            only: Load::start(client, ARCHIVE, PACE)?,
            steps: Vec::new(),
        };
        eventually("everybody answers", ARRIVAL, async || {
            let (both, only) = (traffic.both.so_far()?, traffic.only.so_far()?);
            let by = (both.by_version(), only.by_version());
            ensure!(by.0.len() == 2 && by.1.len() == 1, "{by:?}");
            Ok(())
        })
        .await?;
        // What was lost before is not of the story.
        traffic.both = Load::start(client, HELLOWORLD, PACE)?;
        traffic.only = Load::start(client, ARCHIVE, PACE)?;
        Ok(traffic)
    }

    /// Remembers a step, to be judged at the end.
    pub(super) fn took(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Stops the loads. Fails for a request that was lost though the gateway was there; says
    /// what each step cost.
    pub(super) async fn finish(self, report: &Report) -> Result<()> {
        let (both, only) = (self.both.finish().await?, self.only.finish().await?);
        let absences: Vec<Away> = self.steps.iter().filter_map(|step| step.away).collect();
        for (service, answers) in [("helloworld", &both), ("archive", &only)] {
            for lost in answers.lost() {
                let excused = absences.iter().any(|away| away.excuses(lost));
                ensure!(excused, "{service}: {lost:?} was lost, away: {absences:?}");
            }
        }
        for step in &self.steps {
            step.tell(&both, &only, report)?;
        }
        report.then(&format!(
            "of {} requests none was lost but in the {} absences of c2's gateway",
            both.len() + only.len(),
            absences.len()
        ));
        Ok(())
    }
}

impl Step {
    fn tell(&self, both: &Answers, only: &Answers, report: &Report) -> Result<()> {
        // What was on its way when a gateway died is a loss of that step, though it was sent
        // before it; every loss has such a step.
        let share = |answers: &Answers| {
            let sent = answers.between(self.begun, self.ended).len();
            let lost = answers.lost().into_iter();
            let lost = lost.filter(|lost| self.away.is_some_and(|away| away.excuses(lost)));
            (lost.count(), sent)
        };
        let ((lost_both, both), (lost_only, only)) = (share(both), share(only));
        ensure!(both > 0 && only > 0, "{}: no requests", self.fault);
        let lost = format!("{lost_both} of {both} to helloworld, {lost_only} of {only} to archive");
        let (losses, promised) = match self.away {
            Some(away) => {
                let absence = Took(away.back.duration_since(away.killed)?);
                let lost = format!("lost: {lost}, the gateway away for {absence}");
                (lost, "requests lost only while the gateway is away")
            }
            None => (format!("lost: {lost}"), "no request lost"),
        };
        report.measured(&self.fault, &losses, promised);
        report.fault(
            "state on disk",
            &self.fault,
            &format!("{promised}; {}", self.promise),
            format!("{losses}; {}", self.measured),
        );
        Ok(())
    }
}

impl Away {
    /// Whether the request was under way while nobody was there, and was not given up long
    /// after.
    fn excuses(&self, lost: &Answer) -> bool {
        lost.sent <= micros(self.back)
            && lost.done >= micros(self.killed)
            && lost.done <= micros(self.back + ATTEMPT)
    }
}

const PACE: Duration = Duration::from_millis(10);
/// What an attempt to connect may take on a busy machine; to a port that is closed it takes
/// none.
const ATTEMPT: Duration = Duration::from_secs(5);
