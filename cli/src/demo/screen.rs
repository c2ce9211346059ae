//! The live view: a picture of the moment, drawn. Pure: whoever has a terminal gives it a
//! frame.

mod column;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Result;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Stylize,
    text::{Line, Span, Text},
    widgets::{Block, Paragraph},
};
use scenarios::demo::{Mesh, Picture, Play, mesh::FAR};

use super::look::{self, Look};

/// What is told beside the picture.
#[derive(Debug, Clone)]
pub(crate) struct Guide {
    /// Where the kubeconfigs and logs are.
    pub(crate) directory: PathBuf,
    /// The kubeconfigs, by cluster.
    pub(crate) kubeconfigs: BTreeMap<String, PathBuf>,
    /// The process of c2's gateway, while it runs.
    pub(crate) gateway: Option<u32>,
    /// How to look inside.
    pub(crate) looks: Vec<Look>,
}

impl Guide {
    /// For a mesh whose files are in `directory`.
    ///
    /// # Errors
    /// When it is not the demo's mesh.
    pub(crate) fn new(directory: &Path, mesh: &mut Mesh) -> Result<Self> {
        let (standing, kept) = (look::standing(directory, mesh)?, look::kept(directory)?);
        Ok(Self {
            directory: directory.to_owned(),
            kubeconfigs: mesh.world().kubeconfigs(),
            gateway: mesh.gateway_process(),
            looks: [standing, kept].concat(),
        })
    }

    /// Names the processes of the moment.
    pub(crate) fn follow(&mut self, mesh: &mut Mesh) {
        self.gateway = mesh.gateway_process();
    }

    /// What to type instead of a play's key, wherever one is.
    pub(crate) fn command(&self, play: Play) -> Option<String> {
        let file = self.kubeconfigs.get(FAR)?.display();
        play.command(&format!("kubectl --kubeconfig {file}"), self.gateway)
    }
}

/// Draws all of it. Where there is little room the things to try are one line each.
pub(crate) fn draw(frame: &mut Frame<'_>, picture: &Picture, guide: &Guide) {
    let area = frame.area();
    let width = usize::from(area.width).saturating_sub(2);
    let full = guide.invitation(width, true);
    let invitation = match full.height() + ENOUGH <= usize::from(area.height) {
        true => full,
        false => guide.invitation(width, false),
    };
    let lines = u16::try_from(invitation.height() + 2).unwrap_or(u16::MAX);
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(lines),
    ]);
    let [title, clusters, try_it] = areas.areas(area);
    frame.render_widget(headline(picture, usize::from(area.width)), title);
    let count = u32::try_from(picture.clusters.len().max(1)).unwrap_or(1);
    let columns = Layout::horizontal(vec![Constraint::Ratio(1, count); picture.clusters.len()]);
    let columns: Vec<Rect> = columns.split(clusters).to_vec();
    for (cluster, area) in picture.clusters.iter().zip(columns) {
        column::draw(frame, cluster, area);
    }
    let block = Block::bordered().title(" try ".bold());
    frame.render_widget(Paragraph::new(invitation).block(block), try_it);
}

fn headline(picture: &Picture, width: usize) -> Line<'_> {
    let name = " isthmus demo ".bold().reversed();
    let (age, sidecars) = (picture.at_ms / 1000, picture.sidecars);
    let rest = format!(" {age} s, sidecars: {sidecars}  ");
    let room = width.saturating_sub(name.width() + rest.len());
    let event = fit(picture.event.as_deref().unwrap_or_default(), room);
    Line::from(vec![name, Span::raw(rest), event.yellow()])
}

impl Guide {
    /// What can be tried; `full` with what to type instead of keys.
    fn invitation(&self, width: usize, full: bool) -> Text<'_> {
        let mut text = Text::default();
        for play in Play::ALL {
            let (title, watch) = (play.title(), play.watch());
            let room = width.saturating_sub(4 + title.len() + 2);
            text.push_line(Line::from(vec![
                format!("  {} ", play.key()).bold().cyan(),
                Span::raw(title),
                format!(": {}", fit(watch, room)).dim(),
            ]));
            let command = play.command("kubectl", self.gateway).filter(|_| full);
            if let Some(command) = command {
                text.push_line(fit(&format!("    or: {command}"), width));
            }
        }
        let files = match self.kubeconfigs.get(FAR).filter(|_| full) {
            Some(file) => format!("export KUBECONFIG={}", file.display()),
            None => format!("kubeconfigs and logs: {}", self.directory.display()),
        };
        text.push_line(Line::from(vec![
            "  q ".bold().cyan(),
            Span::raw("end it; "),
            Span::raw(if full { "kubectl elsewhere: " } else { "" }),
            Span::raw(fit(&files, width.saturating_sub(12))),
        ]));
        text
    }
}

/// A text in so many columns: what does not fit is cut, and that is shown.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + if width > 0 { "…" } else { "" }
}

/// Lines that the clusters need to show all that matters, with the title and a border.
const ENOUGH: usize = 19;

#[cfg(test)]
mod tests;
