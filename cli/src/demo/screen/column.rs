//! One cluster, drawn into a column: what answers comes first where there is little room.

use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Style, Stylize},
    text::{Line, Span, Text},
    widgets::{Block, Paragraph},
};
use scenarios::demo::picture::{
    CallsView, ClusterView, GatewayView, LOST, PeerView, PodView, ServiceView,
};

use super::fit;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, cluster: &ClusterView, area: Rect) {
    let mut column = Column {
        text: Text::default(),
        width: usize::from(area.width).saturating_sub(LABEL + 2),
    };
    for service in &cluster.services {
        column.service(service);
    }
    for pod in &cluster.pods {
        column.pod(pod);
    }
    for peer in &cluster.peers {
        column.peer(peer);
    }
    column.gateway(&cluster.gateway);
    column.calls(&cluster.calls);
    let title = format!(" {} · {} ", cluster.name, cluster.network);
    let block = Block::bordered().title(title.bold());
    frame.render_widget(Paragraph::new(column.text).block(block), area);
}

/// Lines, each with a name in front of it.
struct Column<'a> {
    text: Text<'a>,
    /// What is left of a line after its name.
    width: usize,
}

impl<'a> Column<'a> {
    fn service(&mut self, service: &ServiceView) {
        let mark = match service.exported {
            true => "exported".green(),
            false => "not exported".dim(),
        };
        self.row(
            "service",
            vec![Span::raw(format!("{} ", service.name)), mark],
        );
    }

    fn pod(&mut self, pod: &PodView) {
        let ready = match (pod.ready, self.width >= WIDE) {
            (true, true) => " ready".green(),
            (true, false) => " ✓".green(),
            (false, true) => " not ready".red(),
            (false, false) => " ✗".red(),
        };
        let rest = format!(" {}", pod.address);
        let room = self.width.saturating_sub(rest.len() + ready.width());
        let name = match pod.name.len() <= room {
            true => pod.name.clone(),
            false => fit(workload(&pod.name), room),
        };
        self.row("pod", vec![Span::raw(name + &rest), ready]);
    }

    fn peer(&mut self, peer: &PeerView) {
        let state = peer.state.clone();
        let state = match peer.state.as_str() {
            "live" => state.green(),
            "stale" => state.red().bold(),
            _ => state.yellow(),
        };
        let age = peer.proof_of_life_age_ms.map(seconds);
        let count = peer.ready_endpoints;
        let (short, long) = match age {
            None => (
                ", never heard".to_owned(),
                ", no proof of life yet".to_owned(),
            ),
            Some(age) => (
                format!(", {age:.1} s ago, {count} ready"),
                format!(", proof of life {age:.1} s ago, {count} ready endpoints"),
            ),
        };
        let room = self
            .width
            .saturating_sub(peer.cluster.len() + 1 + peer.state.len());
        let rest = if long.len() <= room { long } else { short };
        let name = Span::raw(format!("{} ", peer.cluster));
        self.row("peer", vec![name, state, Span::raw(rest)]);
    }

    fn gateway(&mut self, gateway: &GatewayView) {
        let process = match gateway.process {
            Some(pid) if gateway.ready => format!("process {pid} ").green(),
            Some(pid) => format!("process {pid}, not ready ").red(),
            None => "not running ".red().bold(),
        };
        let (open, refused, size) = (gateway.open, gateway.refused, gateway.bytes >> 10);
        let short = format!("{open} open, {size} KiB");
        let middle = format!("{open} open, {refused} refused, {size} KiB");
        let long = format!(
            "{open} open, {} carried, {refused} refused, {size} KiB, {} routes",
            gateway.carried, gateway.routes
        );
        let room = self.width.saturating_sub(process.width());
        let mut figures = [long, middle].into_iter();
        let figures = figures.find(|text| text.len() <= room).unwrap_or(short);
        self.row("gateway", vec![process, Span::raw(figures)]);
    }

    fn calls(&mut self, calls: &CallsView) {
        let all = calls.last.len().max(1);
        let wide = self.width >= WIDE;
        let bar_room = self.width.saturating_sub(10).min(20);
        for (who, count) in &calls.split() {
            let percent = 100 * count / all;
            let bar = "█".repeat(bar_room * count / all);
            let bar = Span::styled(format!("{who:>3} {bar:<bar_room$} "), colour(who));
            let share = match wide {
                true => format!("{percent} % of the last {all}"),
                false => format!("{percent} %"),
            };
            let share = Span::raw(share);
            self.row("client", vec![bar, share]);
        }
        let marks = calls.last.iter().rev().take(self.width.min(WINDOW)).rev();
        let marks = marks.map(|mark| Span::styled(last_char(mark), colour(mark)));
        self.row("last", marks.collect());
        let lost = format!("{} lost", calls.lost);
        let lost = match calls.lost {
            0 => lost.green(),
            _ => lost.red(),
        };
        let sent = Span::raw(format!("{}, ", calls.sent));
        let room = self.width.saturating_sub(sent.width() + lost.width());
        let loss = calls.last_loss.as_deref();
        let loss = loss.map(|why| fit(&format!(", the last: {why}"), room));
        self.row("sent", vec![sent, lost, loss.unwrap_or_default().dim()]);
        for (depth, member) in calls.chain.iter().enumerate() {
            let name = if depth == 0 { "caller" } else { "" };
            let indent = "  ".repeat(depth);
            let member = shorten(member, self.width.saturating_sub(indent.len()));
            self.row(name, vec![Span::raw(indent + &member)]);
        }
    }

    fn row(&mut self, name: &'static str, what: Vec<Span<'a>>) {
        let width = LABEL - 1;
        let mut spans = vec![Span::styled(format!(" {name:<width$}"), Style::new().dim())];
        spans.extend(what);
        self.text.push_line(Line::from(spans));
    }
}

/// `helloworld-v1` of `helloworld-v1-6ff68bbf64-29vfz`.
fn workload(pod: &str) -> &str {
    pod.rsplitn(3, '-').last().unwrap_or(pod)
}

/// An identity, or who signed by the common name; the end of what does not fit.
fn shorten(member: &str, width: usize) -> String {
    let member = match member.split_once("CN=") {
        Some((_, name)) => format!("signed by {name}"),
        None => member.to_owned(),
    };
    let count = member.chars().count();
    if count <= width {
        return member;
    }
    let kept = member.chars().skip(count + 1 - width.max(1));
    format!("…{}", kept.collect::<String>())
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
    let last = mark.chars().next_back();
    last.map(String::from).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "ages are far below 2^52 ms")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// Before each line, its name.
const LABEL: usize = 9;
/// From here on there is room for words.
const WIDE: usize = 45;
/// How many of the last requests are drawn at most.
const WINDOW: usize = 48;
