//! The live view: a picture of the moment, drawn. Pure: whoever has a terminal gives it a
//! frame.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize},
    text::{Line, Span, Text},
    widgets::{Block, Paragraph, Wrap},
};
use scenarios::demo::{
    Mesh, Picture, Play,
    picture::{CallsView, ClusterView, LOST, PeerView},
};

/// What is drawn beside the picture.
#[derive(Debug, Clone)]
pub(crate) struct Guide {
    /// Each play, and what to type instead of its key.
    pub(crate) plays: Vec<(Play, Option<String>)>,
    /// Where the kubeconfigs and logs are.
    pub(crate) directory: String,
    /// The kubeconfigs, by cluster.
    pub(crate) kubeconfigs: BTreeMap<String, PathBuf>,
}

impl Guide {
    /// For a mesh whose files are in `directory`.
    pub(crate) fn new(directory: &Path, mesh: &mut Mesh) -> Self {
        let gateway = mesh.gateway_process();
        let command = |play: Play| (play, play.command(directory, gateway));
        Self {
            plays: Play::ALL.map(command).into(),
            directory: directory.display().to_string(),
            kubeconfigs: mesh.world().kubeconfigs(),
        }
    }

    /// Names the processes of the moment.
    pub(crate) fn follow(&mut self, mesh: &mut Mesh) {
        *self = Self::new(Path::new(&self.directory), mesh);
    }
}

/// Draws all of it.
pub(crate) fn draw(frame: &mut Frame<'_>, picture: &Picture, guide: &Guide) {
    let plays = u16::try_from(2 * guide.plays.len() + 4).unwrap_or(u16::MAX);
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(10),
        Constraint::Length(plays),
    ]);
    let [title, clusters, try_it] = areas.areas(frame.area());
    frame.render_widget(headline(picture), title);
    let count = u32::try_from(picture.clusters.len().max(1)).unwrap_or(1);
    let columns = Layout::horizontal(vec![Constraint::Ratio(1, count); picture.clusters.len()]);
    for (cluster, area) in picture.clusters.iter().zip(columns.split(clusters).iter()) {
        draw_cluster(frame, cluster, *area);
    }
    frame.render_widget(invitation(guide), try_it);
}

fn headline(picture: &Picture) -> Paragraph<'_> {
    let mut spans = vec![
        " isthmus demo ".bold().reversed(),
        Span::raw(format!(
            " {} s · sidecars: {}  ",
            picture.at_ms / 1000,
            picture.sidecars
        )),
    ];
    if let Some(event) = &picture.event {
        spans.push(event.as_str().yellow());
    }
    Paragraph::new(Line::from(spans))
}

fn draw_cluster(frame: &mut Frame<'_>, cluster: &ClusterView, area: Rect) {
    let mut text = Text::default();
    for service in &cluster.services {
        let (mark, style) = match service.exported {
            true => ("exported", Style::new().green()),
            false => ("not exported", Style::new().dim()),
        };
        row(
            &mut text,
            "service",
            vec![
                Span::raw(format!("{} ", service.name)),
                Span::styled(mark, style),
            ],
        );
    }
    for pod in &cluster.pods {
        let ready = match pod.ready {
            true => " ready".green(),
            false => " not ready".red(),
        };
        row(
            &mut text,
            "pod",
            vec![Span::raw(format!("{} {}", pod.name, pod.address)), ready],
        );
    }
    for peer in &cluster.peers {
        row(&mut text, "peer", describe_peer(peer));
    }
    let gateway = &cluster.gateway;
    let process = match gateway.process {
        Some(pid) if gateway.ready => format!("process {pid} ").green(),
        Some(pid) => format!("process {pid}, not ready ").red(),
        None => "not running ".red().bold(),
    };
    let figures = format!(
        "{} open, {} carried, {} refused, {} KiB, {} routes",
        gateway.open,
        gateway.carried,
        gateway.refused,
        gateway.bytes >> 10,
        gateway.routes
    );
    row(&mut text, "gateway", vec![process, Span::raw(figures)]);
    describe_calls(&mut text, &cluster.calls);
    let title = format!(" {} · {} ", cluster.name, cluster.network);
    let block = Block::bordered().title(title.bold());
    frame.render_widget(
        Paragraph::new(text).block(block).wrap(Wrap { trim: false }),
        area,
    );
}

fn describe_peer(peer: &PeerView) -> Vec<Span<'_>> {
    let age = peer.proof_of_life_age_ms.map_or_else(
        || "no proof of life yet".to_owned(),
        |age| format!("proof of life {:.1} s ago", seconds(age)),
    );
    let state = match peer.state.as_str() {
        "live" => peer.state.as_str().green(),
        "stale" => peer.state.as_str().red().bold(),
        _ => peer.state.as_str().yellow(),
    };
    let rest = format!(", {age}, {} ready endpoints", peer.ready_endpoints);
    vec![
        Span::raw(format!("{} ", peer.cluster)),
        state,
        Span::raw(rest),
    ]
}

fn describe_calls<'a>(text: &mut Text<'a>, calls: &'a CallsView) {
    let split = calls.split();
    let all = calls.last.len().max(1);
    for (who, count) in &split {
        let percent = 100 * count / all;
        let bar = "█".repeat(percent / 5);
        row(
            text,
            "client",
            vec![
                Span::styled(format!("{who:>3} {bar:<20} "), colour(who)),
                Span::raw(format!("{percent} % of the last {all}")),
            ],
        );
    }
    let marks = calls.last.iter().rev().take(48).rev();
    let marks = marks.map(|mark| Span::styled(last_char(mark), colour(mark)));
    row(text, "last", marks.collect());
    let lost = Span::styled(
        format!("{} lost", calls.lost),
        if calls.lost > 0 {
            Style::new().red()
        } else {
            Style::new().green()
        },
    );
    let loss = calls
        .last_loss
        .as_deref()
        .map(|why| format!(", the last: {why}"));
    row(
        text,
        "sent",
        vec![
            Span::raw(format!("{}, ", calls.sent)),
            lost,
            Span::raw(loss.unwrap_or_default()).dim(),
        ],
    );
    for (depth, member) in calls.chain.iter().enumerate() {
        let name = if depth == 0 { "caller" } else { "" };
        row(
            text,
            name,
            vec![Span::raw(format!("{}{member}", "  ".repeat(depth)))],
        );
    }
}

fn row<'a>(text: &mut Text<'a>, name: &'static str, what: Vec<Span<'a>>) {
    let mut spans = vec![Span::styled(format!(" {name:<8}"), Style::new().dim())];
    spans.extend(what);
    text.push_line(Line::from(spans));
}

fn invitation(guide: &Guide) -> Paragraph<'_> {
    let mut text = Text::default();
    for (play, command) in &guide.plays {
        text.push_line(Line::from(vec![
            format!("  {} ", play.key()).bold().cyan(),
            Span::raw(play.title()),
            command
                .iter()
                .map(|command| format!("   or: {command}"))
                .collect::<String>()
                .dim(),
        ]));
        text.push_line(Line::from(format!("     watch: {}", play.watch())).dim());
    }
    text.push_line(Line::from(vec![
        "  q ".bold().cyan(),
        Span::raw(format!(
            "end it   kubeconfigs and logs: {}",
            guide.directory
        )),
    ]));
    Paragraph::new(text).block(Block::bordered().title(" try ".bold()))
}

fn colour(who: &str) -> Style {
    match who {
        LOST => Style::new().red().bold(),
        "v1" => Style::new().fg(Color::Cyan),
        _ => Style::new().fg(Color::Magenta),
    }
}

/// `1` of `v1`.
fn last_char(mark: &str) -> String {
    mark.chars()
        .next_back()
        .map(String::from)
        .unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "ages are far below 2^52 ms")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests;
