//! The five things to try as a script: each is done, measured, and compared with what is
//! promised. A promise that is missed five times over is broken.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;

use super::{
    eye::is_ready,
    mesh::{FAR, Mesh, NEAR},
    picture::PeerView,
    play::Play,
};
use crate::{expect::Share, load::Answers, probe::eventually};

/// What became of one promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// What was done.
    pub play: String,
    /// What was looked at.
    pub what: String,
    /// What is promised.
    pub promise: String,
    /// What was measured.
    pub measured: String,
    /// Whether it held.
    pub holds: bool,
}

/// Goes through the script.
#[derive(Debug)]
pub struct Script<'a, F> {
    mesh: &'a mut Mesh,
    up: Duration,
    tell: F,
    play: String,
}

impl<'a, F: FnMut(&Verdict)> Script<'a, F> {
    /// A script for this mesh, which took `up` to answer; `tell` hears each verdict at once.
    pub fn new(mesh: &'a mut Mesh, up: Duration, tell: F) -> Self {
        Self {
            mesh,
            up,
            tell,
            play: String::new(),
        }
    }

    /// Plays it all.
    ///
    /// # Errors
    /// When something cannot even be tried.
    pub async fn run(mut self) -> Result<()> {
        "two clusters, one mesh".clone_into(&mut self.play);
        self.within("from nothing to answers of both", self.up, seconds(10));
        self.shares(1, 1).await?;
        self.begin(Play::Scale);
        self.scale().await?;
        self.begin(Play::Export);
        self.export().await?;
        self.begin(Play::Freeze);
        self.freeze().await?;
        self.begin(Play::Kill);
        self.kill().await?;
        self.begin(Play::Token);
        self.token().await
    }

    fn begin(&mut self, play: Play) {
        play.title().clone_into(&mut self.play);
    }

    async fn scale(&mut self) -> Result<()> {
        self.mesh.scale(3).await?;
        let mesh = &*self.mesh;
        let ready = eventually("two more pods are ready", LIMIT, async || {
            let api = mesh.cluster(FAR)?.api();
            let pods: Vec<Pod> = api.list("sample", "version=v2").await?;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            ensure!(ready == 3, "{ready} are ready");
            Ok(Instant::now())
        })
        .await?;
        self.until_peer(|peer| peer.ready_endpoints == 3).await;
        let promised = seconds(1);
        self.within(
            "from Ready to c1 knowing of all three pods",
            ready.elapsed(),
            promised,
        );
        self.shares(1, 3).await?;
        let written = self.mesh.scale(1).await?;
        tokio::time::sleep(seconds(3)).await;
        self.none_lost("requests while two pods go again", written)
    }

    async fn export(&mut self) -> Result<()> {
        let closed = self.mesh.export(false).await?;
        tokio::time::sleep(seconds(3)).await;
        let near = self.near()?.after(closed);
        let far = self.mesh.calls(FAR)?.answers().after(closed);
        let last = near.last_of("v2", closed).unwrap_or_default();
        self.within("from the write to v2's last answer in c1", last, seconds(1));
        let lost = near.lost().len();
        // Those on their way may find the gateway closed.
        let few = lost <= 2;
        self.judge("requests lost meanwhile", "those on their way", &lost, few);
        let own = far.by_version().get("v2").copied().unwrap_or_default();
        let kept = own > 0 && far.lost().is_empty();
        self.judge(
            "c2's own client",
            "goes on with v2",
            &format!("{own} answers"),
            kept,
        );
        let opened = self.mesh.export(true).await?;
        let mesh = &*self.mesh;
        let first = eventually("v2 answers c1 again", LIMIT, async || {
            let answers = mesh.calls(NEAR)?.answers();
            answers
                .after(opened)
                .first_of("v2", opened)
                .context("not yet")
        })
        .await?;
        self.within(
            "exported again: from the write to v2's first answer",
            first,
            seconds(2),
        );
        Ok(())
    }

    async fn freeze(&mut self) -> Result<()> {
        let frozen = SystemTime::now();
        self.mesh.freeze(true)?;
        let stale = self.until_state("stale").await;
        self.within("until c1 shows c2 as stale", stale, seconds(8));
        tokio::time::sleep(seconds(2)).await;
        self.mesh.freeze(false)?;
        let live = self.until_state("live").await;
        self.within("thawed: until c2 is live", live, seconds(4));
        self.none_lost("requests while it was frozen", frozen)
    }

    async fn kill(&mut self) -> Result<()> {
        let killed = self.mesh.kill_gateway()?;
        tokio::time::sleep(seconds(1)).await;
        self.mesh.restart_gateway().await?;
        let back = SystemTime::now();
        let absent = back.duration_since(killed).unwrap_or_default();
        tokio::time::sleep(seconds(3)).await;
        let answers = self.near()?;
        let lost = answers.after(killed).lost().len();
        let measured = format!("{lost} in {} ms", absent.as_millis());
        self.judge(
            "requests lost while there was no gateway",
            "counted",
            &measured,
            true,
        );
        // A connection attempt that began before may fail after.
        let late = answers.after(back + seconds(1)).lost().len();
        self.judge(
            "lost later than 1 s after its return",
            "none",
            &late,
            late == 0,
        );
        let again = answers.after(back).first_of("v2", back);
        let again = again.context("v2 does not answer after the gateway's return")?;
        self.within("from its return to v2's first answer", again, seconds(2));
        Ok(())
    }

    async fn token(&mut self) -> Result<()> {
        let replaced = self.mesh.renew_token().await?;
        // Two heartbeats with the new one.
        tokio::time::sleep(seconds(5)).await;
        let picture = self.mesh.picture(None).await;
        let near = picture.clusters.first().context("no clusters")?;
        let peer = near.peers.first().context("c1 has no peer")?;
        let live = peer.state == "live";
        let state = peer.state.clone();
        self.judge("c2 as c1 shows it", "live", &state, live);
        self.none_lost("requests since the token was replaced", replaced)
    }

    /// The next answers divide as the pods do.
    async fn shares(&mut self, near: u32, far: u32) -> Result<()> {
        let answers = self.mesh.calls(NEAR)?.sample(SAMPLE).await;
        let counts = answers.by_version();
        let count = |version: &str| counts.get(version).copied().unwrap_or_default();
        let share = Share {
            count: count("v2"),
            trials: count("v1") + count("v2"),
            promised: f64::from(far) / f64::from(near + far),
        };
        let (what, promise) = (
            format!("v2's share of c1's requests at {near}:{far} pods"),
            "within four sigma",
        );
        self.judge(&what, promise, &share, share.holds());
        Ok(())
    }

    /// How long until c1 shows c2 in this state.
    async fn until_state(&mut self, state: &str) -> Duration {
        let start = Instant::now();
        self.until_peer(|peer| peer.state == state).await;
        start.elapsed()
    }

    /// Waits until c1 shows c2 so, or for too long.
    async fn until_peer(&mut self, wanted: impl Fn(&PeerView) -> bool) {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            let picture = self.mesh.picture(None).await;
            let near = picture.clusters.iter().filter(|c| c.name == NEAR);
            if near.flat_map(|c| &c.peers).any(&wanted) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn near(&self) -> Result<Answers> {
        Ok(self.mesh.calls(NEAR)?.answers())
    }

    fn none_lost(&mut self, what: &str, since: SystemTime) -> Result<()> {
        let answers = self.near()?.after(since);
        let lost = answers.lost();
        let first = lost
            .first()
            .map(|answer| format!(", the first: {:?}", answer.outcome));
        let measured = format!(
            "{} of {} lost{}",
            lost.len(),
            answers.len(),
            first.unwrap_or_default()
        );
        let none = lost.is_empty() && !answers.is_empty();
        self.judge(what, "none lost", &measured, none);
        Ok(())
    }

    /// A time: five times the promise breaks it.
    fn within(&mut self, what: &str, measured: Duration, promised: Duration) {
        let promise = format!("{} s", promised.as_secs());
        let shown = format!("{} ms", measured.as_millis());
        self.judge(what, &promise, &shown, measured <= 5 * promised);
    }

    fn judge(&mut self, what: &str, promise: &str, measured: &dyn fmt::Display, holds: bool) {
        (self.tell)(&Verdict {
            play: self.play.clone(),
            what: what.to_owned(),
            promise: promise.to_owned(),
            measured: measured.to_string(),
            holds,
        });
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.holds { "held  " } else { "BROKEN" };
        write!(
            f,
            "{mark} {}: {} (promised: {})",
            self.what, self.measured, self.promise
        )
    }
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const SAMPLE: usize = 1000;
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
