//! `isthmus demo`: two clusters in one mesh, on this machine.

mod lines;
mod live;
mod playing;
mod screen;
mod sidecars;
mod svg;

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File},
    io::{IsTerminal, stdout},
    os::unix::{fs::DirBuilderExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use ratatui::{Terminal, backend::TestBackend};
use scenarios::{
    demo::{Mesh, Order, Play, Script},
    loopback::cluster::Ground,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    logging,
    process::{self, Threads},
};
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
    /// Leave files behind, and say how to look into them.
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

/// Where the demo's files are; removed with this value, unless kept.
struct Home {
    directory: PathBuf,
    keep: bool,
}

/// Runs the demo until it is ended, or its script is through.
///
/// # Errors
/// When it cannot be brought up, or the script cannot go on.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let sidecars = Sidecars::choose(args.sidecars, args.envoy.as_deref())?;
    let home = Home::make(args.keep)?;
    logging::start_into(File::create(home.directory.join("log/demo.log"))?);
    process::run(Threads::PerCore, |cancel| {
        play(args, sidecars, home, cancel)
    })
}

async fn play(
    args: Args,
    sidecars: Sidecars,
    home: Home,
    cancel: CancellationToken,
) -> Result<ExitCode> {
    let begin = Instant::now();
    let order = Order {
        ground: Ground {
            isthmus: std::env::current_exe().context("where is this program?")?,
            directory: home.directory.clone(),
            sidecars: sidecars.kind.clone(),
        },
        first: args.slice,
        pace: Duration::from_millis(10),
    };
    let style = Style::of(&args);
    style.say(&format!("bringing up two clusters; sidecars: {sidecars} …"));
    let started = tokio::select! {
        started = Mesh::start(&order) => started,
        () = cancel.cancelled() => return Ok(ExitCode::FAILURE),
    };
    let mut mesh = started?;
    let up = begin.elapsed();
    style.say(&format!(
        "up in {:.1} s: c1's client is answered by both clusters",
        up.as_secs_f64()
    ));
    let outcome = match &args.picture {
        _ if args.once => through(&mut mesh, style, &cancel).await,
        Some(file) => portray(&mut mesh, &home, file).await,
        None => {
            let guide = home.guide(&mut mesh);
            match style {
                Style::Screen => live::watch(&mut mesh, guide, &cancel).await,
                Style::Lines | Style::Json => {
                    lines::tell(&mut mesh, &guide, style == Style::Json, &cancel).await
                }
            }
            .map(|()| ExitCode::SUCCESS)
        }
    };
    mesh.stop().await;
    home.leave(style);
    outcome
}

/// Draws the mesh when it has run for a while.
async fn portray(mesh: &mut Mesh, home: &Home, file: &Path) -> Result<ExitCode> {
    tokio::time::sleep(SITTING).await;
    let (picture, guide) = (mesh.picture(None).await, home.guide(mesh));
    let mut terminal = Terminal::new(TestBackend::new(170, 34))?;
    let drawn = terminal.draw(|frame| draw(frame, &picture, &guide))?;
    fs::write(file, svg::of(drawn.buffer))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Plays the script.
async fn through(mesh: &mut Mesh, style: Style, cancel: &CancellationToken) -> Result<ExitCode> {
    let mut play = String::new();
    let script = Script::new(mesh, |verdict| match style {
        Style::Json => println!("{}", json!(verdict)),
        _ => {
            if verdict.play != play {
                println!("\n{}", verdict.play);
                play.clone_from(&verdict.play);
            }
            println!("  {verdict}");
        }
    });
    let broken = tokio::select! {
        broken = script.run() => broken?,
        () = cancel.cancelled() => return Ok(ExitCode::FAILURE),
    };
    style.say(match broken {
        0 => "\nevery promise held",
        _ => "\npromises were broken",
    });
    Ok(ExitCode::from(u8::from(broken > 0)))
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
            Self::Json => println!("{}", json!({ "said": text.trim() })),
            Self::Lines | Self::Screen => println!("{text}"),
        }
    }
}

impl Home {
    /// A directory for this process alone: keys will be in it.
    fn make(keep: bool) -> Result<Self> {
        let name = format!("isthmus-demo-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&directory);
        made.with_context(|| format!("cannot make {}", directory.display()))?;
        let home = Self { directory, keep };
        fs::create_dir(home.directory.join("log"))?;
        Ok(home)
    }

    fn guide(&self, mesh: &mut Mesh) -> Guide {
        let gateway = mesh.gateway_process();
        let command = |play: Play| (play, play.command(&self.directory, gateway));
        Guide {
            plays: Play::ALL.map(command).into(),
            directory: self.directory.display().to_string(),
        }
    }

    /// Says how to look into what is left.
    fn leave(&self, style: Style) {
        if !self.keep {
            return;
        }
        let at = self.directory.display();
        style.say(&format!(
            "\nkept in {at}:\n  logs            {at}/log\n  \
             who trusts whom isthmus trust show {at}/c1/tls/client\n  \
             a leaf          openssl x509 -in {at}/c1/tls/client/cert-chain.pem -noout -text\n  \
             configurations  {at}/c1/discovery.json, {at}/c1/eastwest.json, {at}/c1/trust.json"
        ));
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is only in a directory for what is temporary.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// How long the mesh works before its picture is taken.
const SITTING: Duration = Duration::from_secs(5);
