//! What is done to the mesh by keys, and by the hand of a kubelet.

use std::time::{Duration, Instant};

use scenarios::demo::{Mesh, Play};

/// What was done, so that the same key undoes it.
#[derive(Debug, Default)]
pub(super) struct Playing {
    scaled: bool,
    closed: bool,
    frozen: bool,
    /// Since when the gateway is gone.
    gone: Option<Instant>,
    event: Option<String>,
}

impl Playing {
    /// What was done last, and what to watch.
    pub(super) fn event(&self) -> Option<String> {
        self.event.clone()
    }

    /// Does it, or undoes it.
    pub(super) async fn play(&mut self, play: Play, mesh: &mut Mesh) {
        let done = match play {
            Play::Scale => {
                self.scaled = !self.scaled;
                mesh.scale(if self.scaled { 3 } else { 1 }).await.map(drop)
            }
            Play::Export => {
                self.closed = !self.closed;
                mesh.export(!self.closed).await.map(drop)
            }
            Play::Freeze => {
                self.frozen = !self.frozen;
                mesh.freeze(self.frozen)
            }
            Play::Kill => mesh.kill_gateway().map(drop),
            Play::Token => mesh.renew_token().await.map(drop),
        };
        self.event = Some(match done {
            Ok(()) => format!("{}: {}", play.title(), play.watch()),
            Err(error) => format!("{}: {error:#}", play.title()),
        });
    }

    /// What a kubelet would do: a gateway that has ended comes back after a while.
    pub(super) async fn tend(&mut self, mesh: &mut Mesh) {
        if mesh.gateway_process().is_some() {
            self.gone = None;
            return;
        }
        let since = *self.gone.get_or_insert_with(Instant::now);
        if since.elapsed() >= ABSENCE {
            let started = mesh.restart_gateway().await;
            self.event = Some(match started {
                Ok(()) => "c2's gateway is back".to_owned(),
                Err(error) => format!("c2's gateway does not come back: {error:#}"),
            });
        }
    }
}

/// How long a gateway that was killed stays away.
const ABSENCE: Duration = Duration::from_secs(2);
