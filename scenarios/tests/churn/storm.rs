//! The churn, and that everybody follows it.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use scenarios::{
    crowd::{Churn, Tempo},
    report::Report,
    world::World,
};

use super::{
    cast::{Cast, Took},
    figures::{Delays, Moment, PROMISE},
    truth::{self, SETTLES},
};

/// How long endpoints change with well-behaved viewers alone, and how long with others.
pub(super) const HALF: Duration = Duration::from_secs(30);

/// A churn under way.
pub(super) struct Storm {
    pub(super) churn: Churn,
    begun: Instant,
    /// How long nothing changed meanwhile.
    still: Duration,
    pauses: u32,
    longest: Took,
    dice: Dice,
    told: Option<(String, Delays)>,
}

/// Random moments.
struct Dice(u64);

impl Storm {
    pub(super) fn begin(cast: &mut Cast, report: &Report) -> Self {
        let dice = Dice(RandomState::new().hash_one(0) | 1);
        report.when(&format!(
            "500 endpoints a second come and go, {} with each write of a slice, some by way of \
             their pods (moments by seed {:#x})",
            TEMPO.at_once, dice.0
        ));
        Self {
            churn: cast.crowd.churn(TEMPO),
            begun: Instant::now(),
            still: Duration::ZERO,
            pauses: 0,
            longest: Took(Duration::ZERO),
            dice,
            told: None,
        }
    }

    /// How long endpoints have changed.
    pub(super) fn running(&self) -> Duration {
        self.begun.elapsed() - self.still
    }

    /// Goes on until endpoints have changed for so long, with a halt at so many random
    /// moments before.
    pub(super) async fn rage(
        &mut self,
        world: &World,
        cast: &mut Cast,
        until: Duration,
        halts: u32,
    ) -> Result<()> {
        for left in (1..=halts).rev() {
            let rest = until.saturating_sub(self.running()) / (left + 1);
            let wait = rest.mul_f64(self.dice.between(0.5, 1.5));
            tokio::time::sleep(wait).await;
            self.halt(world, cast, async |_, _| Ok(())).await?;
        }
        tokio::time::sleep(until.saturating_sub(self.running())).await;
        Ok(())
    }

    /// Holds everything still until all agree with the API server, and does something then.
    pub(super) async fn halt(
        &mut self,
        world: &World,
        cast: &mut Cast,
        then: impl AsyncFnOnce(&World, &mut Cast) -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        let pause = self.churn.pause().await;
        let took = truth::settles(world, cast, SETTLES).await?;
        then(world, cast).await?;
        drop(pause);
        self.still += start.elapsed();
        self.pauses += 1;
        self.longest.0 = self.longest.0.max(took.0);
        Ok(())
    }
}

/// How many writes the API server takes, beside all that watches it.
pub(super) async fn one_write_for_each_change(cast: &mut Cast, report: &Report) -> Result<()> {
    let before = cast.crowd.diary().requests();
    let start = Instant::now();
    let churn = cast.crowd.churn(Tempo {
        every: Duration::from_millis(1),
        at_once: 1,
        ..TEMPO
    });
    tokio::time::sleep(TRIAL).await;
    drop(churn.pause().await);
    let requests = cast.crowd.diary().requests() - before;
    let rate = requests as u128 * 1000 / start.elapsed().as_millis();
    cast.crowd.rest(churn).await?;
    report.measured(
        "writes a second that the API server takes beside everything else",
        rate,
        "a figure; the real controller writes several endpoints at once",
    );
    Ok(())
}

/// Everybody has the truth at random moments, soon enough, and at a known cost.
pub(super) async fn is_followed(
    world: &World,
    cast: &mut Cast,
    storm: &mut Storm,
    report: &Report,
) -> Result<()> {
    let before = Moment::now(world, cast).await?;
    storm.rage(world, cast, HALF, 3).await?;
    let after = Moment::now(world, cast).await?;
    let costs = after.tell(&before, storm.running(), VIEWERS, report)?;
    let delays = Delays::since(cast, before.at())?;
    report.measured("from write to received", delays, PROMISE);
    storm.told = Some((costs, delays));
    Ok(())
}

/// The end: all is back, and everybody knows it.
pub(super) async fn ends_in_agreement(
    world: &World,
    cast: &mut Cast,
    storm: Storm,
    report: &Report,
) -> Result<()> {
    let running = storm.running();
    cast.crowd.rest(storm.churn).await?;
    truth::settles(world, cast, SETTLES).await?;
    let unfounded = cast
        .recorder
        .so_far()?
        .unfounded(&cast.crowd.diary().written());
    ensure!(
        unfounded.is_empty(),
        "removed though it was there: {:?}",
        unfounded[0]
    );
    let (halts, longest) = (storm.pauses, storm.longest);
    report.then(&format!(
        "after {} the Envoy, the gateway and the recorder had every endpoint of every service \
         as the API server lists them, at {halts} moments and at the end",
        Took(running)
    ));
    report.measured(
        "the longest until all agreed",
        longest,
        &Took(SETTLES).to_string(),
    );
    if let Some((costs, delays)) = storm.told {
        report.fault(
            "xDS",
            "10,000 endpoints of 1,000 services change 500 times a second for 60 s",
            "an Envoy, our gateway and a recorder are in sync with the API server at random moments and at the end; event to received p99 1 s",
            format!(
                "in sync at {halts} moments, within {longest}; {delays}; {costs}; {}",
                cast.memory
            ),
        );
    }
    Ok(())
}

impl Dice {
    /// Xorshift.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let share = f64::from(u32::try_from(self.0 >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        low + (high - low) * share
    }
}

/// 500 endpoints a second.
const TEMPO: Tempo = Tempo {
    every: Duration::from_millis(2),
    at_once: 5,
    by_pod: 50,
};
/// Viewers in the first half.
const VIEWERS: u32 = 3;
const TRIAL: Duration = Duration::from_secs(3);
