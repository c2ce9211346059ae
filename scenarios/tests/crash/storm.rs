//! Everything of ours is killed again and again, at random moments of a churn.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use scenarios::{
    crowd::Crowd,
    probe::eventually,
    recorder::{Happening, Recorder},
    report::{Report, Took},
    topology::GATEWAY,
    world::{World, objects::DISCOVERY},
};

use super::{leaves::Watchman, pages::gateway, pages::said};
use crate::setting::ARRIVAL;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Discovery,
    Gateway,
    Agent,
}

/// Everything that plays, all of it in c2.
struct Storm {
    crowd: Crowd,
    recorder: Recorder,
    dice: StdRng,
    kills: usize,
}

pub(super) async fn tears_nothing(world: &mut World, report: &Report) -> Result<()> {
    let seed = seed()?;
    let before = logs(world)?;
    let c2 = world.cluster("c2");
    let crowd = Crowd::gather(c2.api(), c2.plan(), SERVICES, EACH).await?;
    report.given("500 endpoints of 50 services more in c2, and a recorder of what c2 is told");
    let watchman = Watchman::start(c2.leaves().collect());
    let mut storm = Storm {
        recorder: Recorder::start(c2, "crowd-", true)?,
        crowd,
        dice: StdRng::seed_from_u64(seed),
        kills: 0,
    };
    let begun = SystemTime::now();
    storm.settles(world).await?;
    report.when(&format!(
        "they come and go, 100 changes a second; discovery, gateway and trust agent of c2 are \
         killed at random moments (ISTHMUS_SEED={seed} for the same again)"
    ));
    for round in 0..ROUNDS {
        storm.rages(world).await?;
        let took = storm.calms_down(world, round).await?;
        report.then(&format!(
            "{} kills; all three killed at once: what everybody knows is what is true, {took} \
             after the last",
            storm.kills
        ));
    }
    storm.told_the_truth(begun, report)?;
    nothing_was_torn(world, &before)?;
    let seen = watchman.finish()?;
    ensure!(
        seen.leaves.len() > ROUNDS * EACH_VICTIM,
        "the leaves stayed: {}",
        seen.leaves.len()
    );
    report.then(&format!(
        "no file was set aside; in {} looks at leaf directories, every one of {} leaves had its key",
        seen.looks,
        seen.leaves.len()
    ));
    let ghosts = storm.ghosts(begun)?;
    report.fault(
        "state on disk",
        "discovery, gateway and trust agent are killed at random moments of a churn, 100 changes \
         a second over 500 endpoints",
        "no torn file, no endpoint taken away that is there, none told that never was; after \
         each pause all know what is true",
        format!(
            "{} kills; {} leaves, each with its key; {ghosts}",
            storm.kills,
            seen.leaves.len(),
        ),
    );
    Ok(())
}

impl Storm {
    /// Kills each of the three so many times while endpoints come and go.
    async fn rages(&mut self, world: &mut World) -> Result<()> {
        let churn = self.crowd.churn(PACE);
        let mut victims = [Victim::Discovery, Victim::Gateway, Victim::Agent].repeat(EACH_VICTIM);
        victims.shuffle(&mut self.dice);
        for victim in victims {
            let wait = self.dice.random_range(Duration::ZERO..LONGEST);
            tokio::time::sleep(wait).await;
            victim
                .dies(world)
                .with_context(|| format!("{victim:?}, after {} kills", self.kills))?;
            self.kills += 1;
        }
        self.crowd.rest(churn).await
    }

    /// Some endpoints go for a while, everybody dies once more, and all settle on the truth;
    /// says how long after.
    async fn calms_down(&mut self, world: &mut World, round: usize) -> Result<Took> {
        self.crowd.leave(10, round).await?;
        for victim in [Victim::Discovery, Victim::Gateway, Victim::Agent] {
            victim.dies(world)?;
            self.kills += 1;
        }
        let start = Instant::now();
        self.settles(world).await?;
        let took = Took(start.elapsed());
        self.crowd.come(10, round).await?;
        self.settles(world).await?;
        Ok(took)
    }

    /// Waits until the recorder and the gateway know what is true.
    async fn settles(&mut self, world: &World) -> Result<()> {
        let truth = self.crowd.truth();
        self.recorder.agrees(&truth, ARRIVAL).await?;
        eventually("the gateway's table is true", ARRIVAL, async || {
            let known = endpoints(world).await?;
            let wrong: Vec<_> = known.symmetric_difference(&truth).take(3).collect();
            ensure!(wrong.is_empty(), "{} known; wrong: {wrong:?}", known.len());
            Ok(())
        })
        .await
    }

    fn told_the_truth(&mut self, since: SystemTime, report: &Report) -> Result<()> {
        let records = self.recorder.so_far()?;
        let written = self.crowd.diary().written();
        let (untrue, strangers) = (records.untrue(&written), records.strangers(&written));
        ensure!(
            untrue.is_empty(),
            "{} endpoints were taken away that were there, the first: {:?}",
            untrue.len(),
            untrue[0]
        );
        ensure!(strangers.is_empty(), "never there: {:?}", strangers.first());
        let told = records.since(since);
        report.then(&format!(
            "{} changes; {} removals and {} additions told, no removal of what was there",
            written.len(),
            told.count(Happening::Removed),
            told.count(Happening::Added)
        ));
        report.measured(
            "told from memory though it had gone",
            self.ghosts(since)?,
            "gone again with the first lists",
        );
        Ok(())
    }

    /// What a discovery that came back told though it had gone since the last write to disk.
    fn ghosts(&mut self, since: SystemTime) -> Result<String> {
        let records = self.recorder.so_far()?.since(since);
        let ghosts = records.ghosts(&self.crowd.diary().written());
        let longest = Took(ghosts.iter().max().copied().unwrap_or_default());
        Ok(format!(
            "{} endpoints told again that had gone since the last write, the longest for {longest}",
            ghosts.len()
        ))
    }
}

impl Victim {
    /// Dies, after it has lived until now, and starts again.
    fn dies(self, world: &mut World) -> Result<()> {
        let c2 = world.cluster_mut("c2");
        let pod = match self {
            Self::Discovery => c2.pod_mut(DISCOVERY)?,
            Self::Gateway => c2.pod_mut(GATEWAY)?,
            Self::Agent => {
                c2.agent_mut()?.check()?;
                return c2.crash_agent();
            }
        };
        pod.runs()?;
        pod.start_again()
    }
}

/// The endpoints of the crowd in the table of c2's gateway.
async fn endpoints(world: &World) -> Result<BTreeSet<String>> {
    let page = gateway(world, "/debug/routes").await?;
    let routes = page["routes"].as_array().context("no list of routes")?;
    let of_crowd = routes.iter().filter(|route| {
        let name = route["sni"].as_str().unwrap_or_default();
        name.contains(".crowd-")
    });
    let endpoints = of_crowd.flat_map(|route| route["endpoints"].as_array().into_iter().flatten());
    endpoints
        .map(|endpoint| {
            let address = endpoint["address"].as_str();
            address
                .map(str::to_owned)
                .context("an endpoint without an address")
        })
        .collect()
}

/// What the logs of discovery and gateway have said so far.
struct Said {
    /// That something on disk was of no use.
    unusable: usize,
    /// That something on disk was taken up.
    remembered: usize,
    /// That a thread panicked.
    panicked: usize,
}

fn logs(world: &World) -> Result<[Said; 2]> {
    let of = |workload, unusable, remembered| {
        let pod = world.cluster("c2").pod(workload)?;
        anyhow::Ok(Said {
            unusable: said(pod, unusable)?,
            remembered: said(pod, remembered)?,
            panicked: said(pod, "panicked")?,
        })
    };
    Ok([
        of(DISCOVERY, "snapshot not used", "cluster remembered")?,
        of(GATEWAY, "kept table not used", "routes remembered")?,
    ])
}

/// Nobody found anything at a start that was of no use, and nobody panicked.
fn nothing_was_torn(world: &World, before: &[Said; 2]) -> Result<()> {
    for (before, after) in before.iter().zip(logs(world)?) {
        ensure!(after.unusable == before.unusable, "a state was set aside");
        ensure!(after.panicked == before.panicked, "somebody panicked");
        let starts = after.remembered - before.remembered;
        ensure!(
            starts > ROUNDS,
            "only {starts} starts came as far as to remember"
        );
    }
    Ok(())
}

/// The seed of the moments: `ISTHMUS_SEED`, or any.
fn seed() -> Result<u64> {
    match std::env::var("ISTHMUS_SEED") {
        Ok(seed) => seed.parse().context("ISTHMUS_SEED is no number"),
        Err(_) => Ok(rand::random()),
    }
}

const SERVICES: u16 = 50;
const EACH: u8 = 10;
/// A change every so often.
const PACE: Duration = Duration::from_millis(10);
const ROUNDS: usize = 3;
/// Deaths of each victim in a round; one more follows at its end.
const EACH_VICTIM: usize = 7;
/// Between two deaths at most.
const LONGEST: Duration = Duration::from_millis(700);
