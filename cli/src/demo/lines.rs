//! The demo where there is no terminal: a line a second, or JSON for programs.

use std::{
    fmt::Display,
    io::{Write as _, stdin, stdout},
    thread,
    time::Duration,
};

use anyhow::Result;
use scenarios::demo::{Mesh, Picture, Play, picture::ClusterView};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::interval};
use tokio_util::sync::CancellationToken;

use super::{look, playing::Playing, screen::Guide};

/// Tells until cancelled, or until nobody reads it.
pub(super) async fn tell(
    mesh: &mut Mesh,
    guide: &Guide,
    as_json: bool,
    cancel: &CancellationToken,
) -> Result<()> {
    let mut heard = match as_json {
        true => print(&json!({ "guide": described(guide) })),
        false => print(&invitation(guide)),
    };
    let mut pace = interval(EVERY);
    let mut playing = Playing::default();
    let mut typed = typed();
    while heard {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            Some(play) = typed.recv() => playing.play(play, mesh).await,
            _ = pace.tick() => {}
        }
        playing.tend(mesh).await;
        let picture = mesh.picture(playing.event()).await;
        heard = match as_json {
            true => print(&json!(picture)),
            false => print(&line(&picture)),
        };
    }
    Ok(())
}

/// Prints a line; whether somebody reads.
fn print(line: &dyn Display) -> bool {
    writeln!(stdout(), "{line}").is_ok()
}

/// Plays whose keys are typed as lines. Its thread ends with the process: a read of standard
/// input cannot be called off.
fn typed() -> mpsc::Receiver<Play> {
    let (sender, plays) = mpsc::channel(8);
    thread::spawn(move || {
        for line in stdin().lines() {
            let Ok(line) = line else { return };
            let play = line.trim().chars().next().and_then(Play::of_key);
            if let Some(play) = play
                && sender.blocking_send(play).is_err()
            {
                return;
            }
        }
    });
    plays
}

fn described(guide: &Guide) -> Value {
    let plays = Play::ALL.map(|play| {
        let (key, title, watch) = (play.key(), play.title(), play.watch());
        json!({ "key": key, "title": title, "command": guide.command(play), "watch": watch })
    });
    json!({
        "directory": guide.directory,
        "kubeconfigs": guide.kubeconfigs,
        "plays": plays,
        "looks": guide.looks,
    })
}

fn invitation(guide: &Guide) -> String {
    let plays = Play::ALL.map(|play| {
        let (key, title, watch) = (play.key(), play.title(), play.watch());
        let command = guide.command(play);
        let command: String = command.iter().map(|line| format!(", or: {line}")).collect();
        format!("{title}\n    type {key}{command}\n    watch: {watch}\n")
    });
    let looks = look::list("look inside:", &guide.looks);
    format!("try:\n\n{}{looks}\n", plays.concat())
}

/// One moment on one line.
fn line(picture: &Picture) -> String {
    let clusters: Vec<String> = picture.clusters.iter().map(cluster).collect();
    let event = picture.event.iter().map(|event| format!("  ! {event}"));
    let event: String = event.collect();
    format!(
        "{:>5} s  {}{event}",
        picture.at_ms / 1000,
        clusters.join("  |  ")
    )
}

fn cluster(cluster: &ClusterView) -> String {
    let all = cluster.calls.last.len().max(1);
    let split = cluster.calls.split();
    let split = split
        .iter()
        .map(|(who, count)| format!("{who} {} %", 100 * count / all));
    let split: Vec<String> = split.collect();
    let peers = cluster
        .peers
        .iter()
        .map(|peer| format!(" {} {}", peer.cluster, peer.state));
    let peers: String = peers.collect();
    format!(
        "{}: {}, {} lost;{peers}",
        cluster.name,
        split.join(" "),
        cluster.calls.lost
    )
}

const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use scenarios::demo::picture::{CallsView, PeerView};

    use super::*;

    #[test]
    fn a_moment_is_one_line() {
        let calls = CallsView {
            last: ["v1", "v2", "v2", "-"].map(str::to_owned).into(),
            lost: 1,
            ..CallsView::default()
        };
        let peer = PeerView {
            cluster: "c2".to_owned(),
            state: "stale".to_owned(),
            ..PeerView::default()
        };
        let picture = Picture {
            at_ms: 2500,
            sidecars: "builtin",
            clusters: vec![ClusterView {
                name: "c1".to_owned(),
                calls,
                peers: vec![peer],
                ..ClusterView::default()
            }],
            event: Some("frozen".to_owned()),
        };
        let expected = "    2 s  c1: - 25 % v1 25 % v2 50 %, 1 lost; c2 stale  ! frozen";
        assert_eq!(line(&picture), expected);
    }
}
