//! A viewer that refuses one resource: it is told why nowhere but in what is shown, it
//! gets everything else, and no version of that resource again and again.

use std::time::Duration;

use anyhow::{Result, ensure};
use scenarios::{
    crowd::Crowd, metric, probe::eventually, recorder::Recorder, report::Report, world::World,
};

use serde_json::json;

use super::{
    cast::{metrics, record, viewer},
    truth::SETTLES,
};

/// A recorder that refuses every response with the endpoints of one service, as a whole.
pub(super) struct Refuser {
    recorder: Recorder,
    rejects: f64,
}

impl Refuser {
    pub(super) async fn arrive(world: &World, report: &Report) -> Result<Self> {
        let rejects = rejects(world).await?;
        let more = ["--refuse", &cluster(), "--because", BECAUSE];
        report.when(&format!("a viewer refuses every response with {REFUSED}"));
        Ok(Self {
            recorder: record(world.cluster("c1"), NAME, &more)?,
            rejects,
        })
    }

    /// While nothing changes: everything else is known, and nothing more is sent.
    pub(super) async fn misses_only_what_it_refused(
        &mut self,
        world: &World,
        report: &Report,
    ) -> Result<()> {
        let mut truth = Crowd::listed(world.cluster("c1").api()).await?;
        truth.forget(REFUSED);
        let recorder = &mut self.recorder;
        eventually("it knows everything else", SETTLES, async || {
            recorder.picture()?.agrees(&truth)
        })
        .await?;
        let refused = self.comes_to_rest().await?;
        let most = refused.iter().max().copied().unwrap_or_default();
        let total: usize = refused.iter().sum();
        ensure!(refused.len() > 1, "no next version was sent: {refused:?}");
        ensure!(most <= AGAIN, "one version was sent {most} times");

        let shown = viewer(world, NAME).await?["types"]["EDS"].clone();
        ensure!(shown["lastNack"] == BECAUSE, "/debug/xds: {shown}");
        ensure!(
            shown["refused"] == json!([cluster()]),
            "/debug/xds: {shown}"
        );
        ensure!(
            shown["nacks"] == total,
            "{total} refusals; /debug/xds: {shown}"
        );
        let counted = rejects(world).await? - self.rejects;
        ensure!(
            counted.to_string() == total.to_string(),
            "counted {counted} of {total}"
        );
        for other in ["recorder", "client-0"] {
            let shown = viewer(world, other).await?;
            ensure!(shown["types"]["EDS"]["nacks"] == 0, "{other}: {shown}");
        }
        let measured = format!(
            "{total} refusals of {} versions, none sent more than {most} times; all of {} other \
             services in sync",
            refused.len(),
            truth.services()
        );
        report.then(&measured);
        report.fault(
            "xDS",
            "a viewer refuses every response with one of 1,000 services",
            "its text stands in /debug/xds, the refused version is not sent again and again but the next is, all else arrives",
            measured,
        );
        Ok(())
    }

    /// How often each version was refused before the next one came, once no response comes
    /// any more.
    async fn comes_to_rest(&mut self) -> Result<Vec<usize>> {
        let before = self.recorder.received()?.len();
        tokio::time::sleep(QUIET).await;
        let received = self.recorder.received()?;
        ensure!(
            received.len() == before,
            "{} responses in {QUIET:?}, though nothing changes",
            received.len() - before
        );
        let refused = received.iter().filter_map(|r| r.refused.as_ref());
        let refused: Vec<&String> = refused.collect();
        let runs = refused.chunk_by(|one, next| one == next);
        Ok(runs.map(<[_]>::len).collect())
    }
}

fn cluster() -> String {
    format!("outbound|80||{REFUSED}.sample.svc.cluster.local")
}

async fn rejects(world: &World) -> Result<f64> {
    Ok(metric::sum(
        &metrics(world).await?,
        REJECTS,
        &[("type", "EDS")],
    ))
}

const NAME: &str = "refuser";
const REFUSED: &str = "crowd-7";
const BECAUSE: &str = "crowd-7 has a locality that I do not believe";
const REJECTS: &str = "isthmus_discovery_xds_rejects_total";
/// How often one version may be sent: eleven times to find it among 1,000, and again when
/// it was another one in between that was never sent.
const AGAIN: usize = 22;
const QUIET: Duration = Duration::from_secs(2);
