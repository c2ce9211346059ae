//! Endpoints that come and go at a tempo, and can be held still.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{
    sync::{OwnedRwLockWriteGuard, RwLock, watch},
    task::JoinSet,
    time::{Instant, Interval, interval_at},
};

use super::group::{Group, Way};

/// How fast endpoints change, and how.
#[derive(Debug, Clone, Copy)]
pub struct Tempo {
    /// From one change of an endpoint to the next.
    pub every: Duration,
    /// So many endpoints of a service change with one write of its slice.
    pub at_once: usize,
    /// Every so many writes are made by way of Pods.
    pub by_pod: usize,
}

/// Changes that go on until they are stopped.
#[derive(Debug)]
pub struct Churn {
    workers: JoinSet<Result<Vec<Group>>>,
    stop: watch::Sender<bool>,
    /// Held by whoever writes; inside, how many pauses there were.
    pen: Arc<RwLock<u64>>,
}

/// Nothing changes until this is dropped.
#[derive(Debug)]
pub struct Pause {
    _pen: OwnedRwLockWriteGuard<u64>,
}

/// Changes its groups, one after another.
#[derive(Debug)]
struct Worker {
    groups: Vec<Group>,
    ticks: Interval,
    /// One worker after another, not all at one moment.
    turn: Duration,
    tempo: Tempo,
    stop: watch::Receiver<bool>,
    pen: Arc<RwLock<u64>>,
    pauses: u64,
}

impl From<Duration> for Tempo {
    /// A write for each change, every third by way of the Pod.
    fn from(every: Duration) -> Self {
        Self {
            every,
            at_once: 1,
            by_pod: 3,
        }
    }
}

impl Churn {
    /// One worker for each share of the groups.
    pub(super) fn begin(shares: Vec<Vec<Group>>, tempo: Tempo) -> Self {
        let stop = watch::Sender::new(false);
        let pen = Arc::new(RwLock::new(0));
        let times = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let each = tempo.every * times(tempo.at_once);
        let every = each * times(shares.len());
        let mut workers = JoinSet::new();
        for (number, groups) in (0..).zip(shares) {
            let turn = each * number;
            let worker = Worker {
                groups,
                ticks: interval_at(Instant::now() + turn, every),
                turn,
                tempo,
                stop: stop.subscribe(),
                pen: Arc::clone(&pen),
                pauses: 0,
            };
            workers.spawn(worker.work());
        }
        Self { workers, stop, pen }
    }

    /// Waits for the writes that are under way, and lets nobody begin another.
    pub async fn pause(&self) -> Pause {
        let mut pen = Arc::clone(&self.pen).write_owned().await;
        *pen += 1;
        Pause { _pen: pen }
    }

    pub(super) async fn end(mut self) -> Result<Vec<Group>> {
        self.stop.send_replace(true);
        let mut all = Vec::new();
        while let Some(groups) = self.workers.join_next().await {
            all.extend(groups??);
        }
        Ok(all)
    }
}

impl Worker {
    /// One endpoint goes for each that comes, so that always half of the services lack one.
    async fn work(mut self) -> Result<Vec<Group>> {
        let mut absent = VecDeque::new();
        let all = self.groups.len();
        let mut steps = (0..).flat_map(|round| (0..all).map(move |index| (round, index)));
        while !self.tick().await && all > 0 {
            if absent.len() > all / 2 {
                self.come(absent.pop_front()).await?;
            } else if let Some((round, index)) = steps.next() {
                let way = Way::alternate(round + index, self.tempo.by_pod);
                let members = self.members(round);
                self.write(index, async |group| group.leave(members, way).await)
                    .await?;
                absent.push_back((round, index));
            }
        }
        while !absent.is_empty() {
            self.come(absent.pop_front()).await?;
        }
        Ok(self.groups)
    }

    /// Waits for the next change; whether there shall be none.
    async fn tick(&mut self) -> bool {
        tokio::select! {
            _ = self.ticks.tick() => {}
            _ = self.stop.wait_for(|stop| *stop) => {}
        }
        *self.stop.borrow()
    }

    async fn come(&mut self, absent: Option<(usize, usize)>) -> Result<()> {
        let Some((round, index)) = absent else {
            return Ok(());
        };
        let members = self.members(round);
        self.write(index, async |group| group.come(members).await)
            .await
    }

    /// Who changes in a round.
    fn members(&self, round: usize) -> Range<usize> {
        let first = round * self.tempo.at_once;
        first..first + self.tempo.at_once
    }

    async fn write(
        &mut self,
        index: usize,
        change: impl AsyncFnOnce(&mut Group) -> Result<()>,
    ) -> Result<()> {
        let pen = self.pen.read().await;
        if self.pauses != *pen {
            // What was missed in a pause is not made up for.
            self.pauses = *pen;
            self.ticks.reset_after(self.turn);
        }
        change(&mut self.groups[index]).await
    }
}
