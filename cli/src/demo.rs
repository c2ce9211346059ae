//! `isthmus demo`: two clusters in one mesh, on this machine.

mod home;
mod lines;
mod live;
mod look;
mod playing;
mod screen;
mod sidecars;
mod svg;

use std::{
    ffi::OsString,
    fmt::Display,
    fs,
    io::{IsTerminal, Write as _, stdout},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use ratatui::{Terminal, backend::TestBackend};
use scenarios::{
    demo::{Mesh, Order, Script, two_clusters},
    loopback::cluster::Ground,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    logging,
    process::{self, Threads},
};
use home::Home;
use screen::{Guide, draw};
use sidecars::{Sidecars, Wish};

/// Two clusters in two networks on this machine, one mesh in front of them, and five things
/// to try. Needs nothing installed, and no root.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do the five things as a script, check each promise, and end; exits with 1 when one is
    /// broken.
    #[arg(long)]
    once: bool,
    /// Tell in JSON, one object a line, for programs.
    #[arg(long)]
    json: bool,
    /// Tell in plain lines, also on a terminal.
    #[arg(long)]
    plain: bool,
    /// Write a picture of the screen into this file, and end.
    #[arg(long, value_name = "FILE.svg", conflicts_with_all = ["once", "json"])]
    picture: Option<PathBuf>,
    /// Leave files behind, and say how to look into them; with --once the mesh stands on until
    /// Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// What stands beside applications.
    #[arg(long, value_enum, value_name = "KIND", default_value_t = Wish::Auto)]
    sidecars: Wish,
    /// The Envoy to take, instead of one on PATH or in the cache of this repository's tests.
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// The first of two slices of loopback to use: N stands for 127.N.0.0/16 (and 127.N+100).
    #[arg(long, value_name = "N", default_value_t = 1)]
    slice: u8,
}

/// A program to become: with `--with-parent` it ends with its parent, as our roles do.
#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    program: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

impl Exec {
    /// Becomes it.
    ///
    /// # Errors
    /// When it cannot be run; else this never returns.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let error = Command::new(&self.program).args(self.arguments).exec();
        Err(error).with_context(|| format!("cannot run {}", self.program.display()))
    }
}

/// How the demo is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Screen,
    Lines,
    Json,
}

/// How a demo ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// As it should.
    Well,
    /// Called off before it was up, or through.
    CutShort,
    /// With promises that did not hold.
    Broken,
}

/// Runs the demo until it is ended, or its script is through.
///
/// # Errors
/// When it cannot be brought up, or the script cannot go on.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let sidecars = Sidecars::choose(args.sidecars, args.envoy.as_deref())?;
    let home = Home::make(args.keep)?;
    logging::start_into(home.log()?);
    process::run(Threads::PerCore, |cancel| async move {
        let ending = play(&args, &sidecars, home.directory(), &cancel).await;
        let failed = matches!(ending, Ok(Ending::Broken) | Err(_));
        if let Some(left) = home.leave(failed) {
            Style::of(&args).say(&left);
        }
        ending.map(|ending| ExitCode::from(u8::from(ending != Ending::Well)))
    })
}

/// From nothing to nothing, but for files in `home`.
async fn play(
    args: &Args,
    sidecars: &Sidecars,
    home: &Path,
    cancel: &CancellationToken,
) -> Result<Ending> {
    let begin = Instant::now();
    let order = Order {
        plan: two_clusters(),
        ground: Ground {
            isthmus: std::env::current_exe().context("where is this program?")?,
            directory: home.to_owned(),
            sidecars: sidecars.kind.clone(),
            first: args.slice,
        },
        pace: Duration::from_millis(10),
    };
    let style = Style::of(args);
    style.say(&format!("bringing up two clusters; sidecars: {sidecars} …"));
    let started = tokio::select! {
        started = Mesh::start(&order) => started,
        () = cancel.cancelled() => return Ok(Ending::CutShort),
    };
    let mut mesh = started?;
    let up = begin.elapsed();
    style.say(&format!(
        "up in {:.1} s: c1's client is answered by both clusters",
        up.as_secs_f64()
    ));
    let ending = match &args.picture {
        _ if args.once => {
            let ending = through(&mut mesh, up, style, cancel).await;
            if args.keep {
                style.say(&look::list(
                    "it stands until Ctrl-C:",
                    &look::standing(home, &mesh)?,
                ));
                cancel.cancelled().await;
            }
            ending
        }
        Some(file) => portray(&mut mesh, home, file).await,
        None => live(&mut mesh, home, style, cancel).await,
    };
    mesh.stop().await;
    ending
}

/// Shows the mesh until that is called off.
async fn live(
    mesh: &mut Mesh,
    home: &Path,
    style: Style,
    cancel: &CancellationToken,
) -> Result<Ending> {
    let guide = Guide::new(home, mesh)?;
    match style {
        Style::Screen => {
            // Beneath the screen, and there again after it.
            style.say(&look::list("while it stands:", &guide.looks));
            live::watch(mesh, guide, cancel).await?;
        }
        Style::Lines => lines::tell(mesh, &guide, false, cancel).await?,
        Style::Json => lines::tell(mesh, &guide, true, cancel).await?,
    }
    Ok(Ending::Well)
}

/// Draws the mesh when it has run for a while.
async fn portray(mesh: &mut Mesh, home: &Path, file: &Path) -> Result<Ending> {
    tokio::time::sleep(SITTING).await;
    let (picture, guide) = (mesh.picture(None).await, Guide::new(home, mesh)?);
    let mut terminal = Terminal::new(TestBackend::new(150, 30))?;
    let drawn = terminal.draw(|frame| draw(frame, &picture, &guide))?;
    fs::write(file, svg::of(drawn.buffer))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Ending::Well)
}

/// Plays the script.
async fn through(
    mesh: &mut Mesh,
    up: Duration,
    style: Style,
    cancel: &CancellationToken,
) -> Result<Ending> {
    let (mut play, mut broken) = (String::new(), false);
    let script = Script::new(mesh, up, |verdict| {
        broken |= !verdict.holds;
        if style == Style::Json {
            return say(&json!(verdict));
        }
        if verdict.play != play {
            say(&format!("\n{}", verdict.play));
            play.clone_from(&verdict.play);
        }
        say(&format!("  {verdict}"));
    });
    let through = tokio::select! {
        done = script.run() => done.map(|()| true)?,
        () = cancel.cancelled() => false,
    };
    Ok(match (broken, through) {
        (true, _) => {
            style.say("\npromises were broken");
            Ending::Broken
        }
        (false, true) => {
            style.say("\nevery promise held");
            Ending::Well
        }
        (false, false) => Ending::CutShort,
    })
}

impl Style {
    fn of(args: &Args) -> Self {
        match args {
            Args { json: true, .. } => Self::Json,
            Args { plain: true, .. } | Args { once: true, .. } => Self::Lines,
            _ if stdout().is_terminal() => Self::Screen,
            _ => Self::Lines,
        }
    }

    /// Something beside the picture.
    fn say(self, text: &str) {
        match self {
            Self::Json => say(&json!({ "said": text.trim() })),
            Self::Lines | Self::Screen => say(&text),
        }
    }
}

/// Prints a line. That nobody reads it any more is no reason to leave a mesh half done.
fn say(line: &dyn Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// How long the mesh works before its picture is taken.
const SITTING: Duration = Duration::from_secs(5);
