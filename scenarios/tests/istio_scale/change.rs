//! One write at a time, and what each gateway makes of it: how soon it is in effect, and what
//! it takes.

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail, ensure};
use scenarios::topology::APP_PORT;
use tokio::time::sleep;

use super::{
    cost::{Both, processes, processor_time},
    mesh::Mesh,
    push::{Push, pushes},
};
use crate::istio_matrix::question::{self, Question};

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A service comes, with its endpoint.
    Service,
    /// The first endpoint of a service comes: istiod takes it for a new service, and pushes all.
    Endpoint,
    /// The endpoint of a service moves, from a port at which nobody listens: istiod pushes the
    /// endpoints of this service and nothing else.
    Move,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Service, Self::Endpoint, Self::Move];

    /// The service that a change is of.
    fn service(self, number: usize) -> String {
        let name = match self {
            Self::Service => "late",
            Self::Endpoint => "empty",
            Self::Move => "moved",
        };
        format!("{name}-{number}")
    }

    /// The last that istiod pushes of it before it can be in effect.
    fn push(self) -> Push {
        match self {
            Self::Service => Push::Listeners,
            Self::Endpoint => Push::Endpoints,
            Self::Move => Push::EndpointsAlone,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "a service more",
            Self::Endpoint => "a service's first endpoint",
            Self::Move => "an endpoint moved",
        })
    }
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

/// Makes what is there before any change.
pub(super) async fn prepare(mesh: &Mesh<'_>) -> Result<()> {
    for number in 0..CHANGES {
        mesh.serve(&Kind::Endpoint.service(number)).await?;
        mesh.serve_at(&Kind::Move.service(number), NOBODY).await?;
    }
    Ok(())
}

/// Makes changes of a kind, one after another.
pub(super) async fn measure(mesh: &Mesh<'_>, kind: Kind) -> Result<Cost> {
    let (mut effect, mut after_push) = (Vec::new(), Vec::new());
    for number in 0..TIMED {
        turned_away(mesh, kind, number).await?;
        let written = write(mesh, kind, number).await?;
        let known = in_effect(mesh, kind, number).await?;
        let pushed = pushes(mesh.cluster(), kind.push(), written).await?;
        effect.push(known.map(|known| since(known, written)));
        after_push.push(
            known
                .zip(pushed)
                .map(|(known, pushed)| since(known, pushed)),
        );
        sleep(CALM).await;
    }
    Ok(Cost {
        effect: median(&effect),
        after_push: median(&after_push),
        processor: processor(mesh, kind).await?,
    })
}

/// What both take for a change that no client asks about.
async fn processor(mesh: &Mesh<'_>, kind: Kind) -> Result<Both<Duration>> {
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..IDLE {
        idle.push(spent(mesh, async { Ok(()) }).await?);
    }
    for number in TIMED..CHANGES {
        let change = async { write(mesh, kind, number).await.map(drop) };
        busy.push(spent(mesh, change).await?);
        // It must be in effect by now.
        in_effect(mesh, kind, number).await?;
    }
    let both = median(&busy).zip(median(&idle));
    Ok(both.map(|(busy, idle)| busy.saturating_sub(idle)))
}

/// Writes one and says when the API server had it.
async fn write(mesh: &Mesh<'_>, kind: Kind, number: usize) -> Result<SystemTime> {
    let service = kind.service(number);
    match kind {
        Kind::Service => mesh.serve_at(&service, APP_PORT).await?,
        Kind::Endpoint => mesh.give_endpoint(&service, APP_PORT).await?,
        Kind::Move => mesh.move_endpoint(&service, APP_PORT).await?,
    }
    Ok(SystemTime::now())
}

/// Both turn a client away at once, as long as it is not written.
async fn turned_away(mesh: &Mesh<'_>, kind: Kind, number: usize) -> Result<()> {
    let question = mesh.question(&kind.service(number))?;
    for gateway in mesh.addresses() {
        let answer = question.ask(gateway).await?.kind;
        ensure!(
            matches!(answer, question::Kind::Reset | question::Kind::Closed),
            "{gateway} before {kind}: {answer}"
        );
    }
    Ok(())
}

/// When a client of each has first reached the endpoint.
async fn in_effect(mesh: &Mesh<'_>, kind: Kind, number: usize) -> Result<Both<SystemTime>> {
    let question = mesh.question(&kind.service(number))?;
    let [envoy, ours] = mesh.addresses().map(|gateway| reached(&question, gateway));
    let (envoy, ours) = tokio::try_join!(envoy, ours)?;
    Ok(Both { envoy, ours })
}

async fn reached(question: &Question, gateway: IpAddr) -> Result<SystemTime> {
    let begin = SystemTime::now();
    while since(SystemTime::now(), begin) < PATIENCE {
        if question.ask(gateway).await?.kind.is_reached() {
            return Ok(SystemTime::now());
        }
        sleep(PROBE).await;
    }
    bail!("{gateway} does not serve it after {PATIENCE:?}")
}

/// What both spend in a window that begins with this.
async fn spent(mesh: &Mesh<'_>, begin: impl Future<Output = Result<()>>) -> Result<Both<Duration>> {
    let before = processor_time(processes(mesh.cluster())?)?;
    begin.await?;
    sleep(WINDOW).await;
    let after = processor_time(processes(mesh.cluster())?)?;
    let both = after.zip(before);
    Ok(both.map(|(after, before)| after.saturating_sub(before)))
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
const COUNTED: usize = 5;
/// All of a kind.
pub(super) const CHANGES: usize = TIMED + COUNTED;
/// Windows in which nothing changes.
const IDLE: usize = 3;
/// A port of the pod at which nobody listens.
const NOBODY: u16 = APP_PORT + 1;
/// Many times what any change takes, and as often as Envoy sums up its statistics, which at
/// 1,000 services costs it more than an endpoint: every window has it once.
const WINDOW: Duration = Duration::from_secs(5);
/// Until what a change has left is done.
const CALM: Duration = Duration::from_secs(2);
const PROBE: Duration = Duration::from_millis(4);
const PATIENCE: Duration = Duration::from_secs(30);
