//! One write at a time, and what each gateway makes of it: how soon it is in effect, and what
//! it takes.

use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use tokio::time::sleep;

use super::{
    cost::{Both, processes, processor_time},
    mesh::Mesh,
    push::pushes,
};
use crate::istio_matrix::question::Question;

/// What comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A service with its endpoint.
    Service,
    /// The first endpoint of a service: istiod takes it for a new service, and pushes all.
    Endpoint,
}

/// What changes of a kind took; medians.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// From the API server's answer until it is in effect.
    pub(super) effect: Both<Duration>,
    /// From istiod's push on.
    pub(super) after_push: Both<Duration>,
    /// Processor time, without what an idle gateway takes.
    pub(super) processor: Both<Duration>,
}

/// Makes changes of a kind, one after another.
pub(super) async fn measure(mesh: &Mesh<'_>, kind: Kind) -> Result<Cost> {
    let (mut effect, mut after_push) = (Vec::new(), Vec::new());
    for number in 0..TIMED {
        let written = write(mesh, kind, number).await?;
        let known = in_effect(mesh, kind, number).await?;
        // The last that istiod pushes of it.
        let last = if kind == Kind::Service { "LDS" } else { "EDS" };
        let pushed = pushes(mesh.cluster(), last, written)?;
        effect.push(known.map(|known| since(known, written)));
        after_push.push(
            known
                .zip(pushed)
                .map(|(known, pushed)| since(known, pushed)),
        );
        sleep(WINDOW).await;
    }
    let idle = window(mesh).await?;
    let mut processor = Vec::new();
    for number in TIMED..TIMED + COUNTED {
        let before = processor_time(processes(mesh.cluster())?)?;
        write(mesh, kind, number).await?;
        sleep(WINDOW).await;
        let spent = spent(before, mesh)?;
        // Nobody asked meanwhile; it must be in effect by now.
        in_effect(mesh, kind, number).await?;
        processor.push(
            spent
                .zip(idle)
                .map(|(spent, idle)| spent.saturating_sub(idle)),
        );
    }
    Ok(Cost {
        effect: median(&effect),
        after_push: median(&after_push),
        processor: median(&processor),
    })
}

/// Writes one and says when the API server had it.
async fn write(mesh: &Mesh<'_>, kind: Kind, number: usize) -> Result<SystemTime> {
    let name = name(kind, number);
    if kind == Kind::Service {
        mesh.serve(&name).await?;
    }
    mesh.give_endpoint(&name).await?;
    Ok(SystemTime::now())
}

/// The service of a change; those of endpoints are there from the beginning.
pub(super) fn name(kind: Kind, number: usize) -> String {
    match kind {
        Kind::Service => format!("late-{number}"),
        Kind::Endpoint => format!("empty-{number}"),
    }
}

/// When a client of each has first reached the endpoint.
async fn in_effect(mesh: &Mesh<'_>, kind: Kind, number: usize) -> Result<Both<SystemTime>> {
    let question = mesh.question(&name(kind, number))?;
    let [envoy, ours] = mesh.addresses().map(|gateway| reached(&question, gateway));
    let (envoy, ours) = tokio::try_join!(envoy, ours)?;
    Ok(Both { envoy, ours })
}

async fn reached(question: &Question, gateway: std::net::IpAddr) -> Result<SystemTime> {
    let begin = SystemTime::now();
    while since(SystemTime::now(), begin) < PATIENCE {
        if question.ask(gateway).await?.kind.is_reached() {
            return Ok(SystemTime::now());
        }
        sleep(PROBE).await;
    }
    bail!("{gateway} does not serve it after {PATIENCE:?}")
}

/// What both spend in a window in which nothing happens.
async fn window(mesh: &Mesh<'_>) -> Result<Both<Duration>> {
    let before = processor_time(processes(mesh.cluster())?)?;
    sleep(WINDOW).await;
    spent(before, mesh)
}

fn spent(before: Both<Duration>, mesh: &Mesh<'_>) -> Result<Both<Duration>> {
    let now = processor_time(processes(mesh.cluster())?)?;
    Ok(now
        .zip(before)
        .map(|(now, before)| now.saturating_sub(before)))
}

fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

fn median(all: &[Both<Duration>]) -> Both<Duration> {
    let middle = |of: fn(&Both<Duration>) -> Duration| {
        let mut sorted: Vec<Duration> = all.iter().map(of).collect();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    Both {
        envoy: middle(|both| both.envoy),
        ours: middle(|both| both.ours),
    }
}

/// Changes that clients wait for.
const TIMED: usize = 5;
/// Changes without clients, whose processor time is counted.
const COUNTED: usize = 6;
/// All of a kind.
pub(super) const CHANGES: usize = TIMED + COUNTED;
/// Many times what any change takes.
const WINDOW: Duration = Duration::from_secs(4);
const PROBE: Duration = Duration::from_millis(4);
const PATIENCE: Duration = Duration::from_secs(30);
