//! The stage of a scenario: finds the parts, runs the story, and ends the world
//! whatever happens.

use std::{
    env,
    fmt::Debug,
    future::pending,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use futures::FutureExt;
use libtest_mimic::{Completion, Failed, Trial};
use scenarios::{
    peers::{Missing, Peers, Sidecars, required},
    process::tail,
    report::Report,
    world::World,
};
use tokio::signal::unix::{SignalKind, signal};

/// What all trials share.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    keep: bool,
    sidecars: Option<Sidecars>,
    isthmus: Arc<OnceLock<Result<PathBuf, String>>>,
}

/// The world as a story makes it: empty until the story has set it up.
pub(crate) type Scene = Option<World>;

impl Stage {
    pub(crate) fn new(keep: bool, sidecars: Option<Sidecars>) -> Self {
        Self {
            keep,
            sidecars,
            isthmus: Arc::default(),
        }
    }

    /// A scenario of this name. The story puts its world into the scene, so that
    /// the world outlives it: to be looked at, and to be ended in order.
    pub(crate) fn trial<S>(&self, name: &'static str, story: S) -> Trial
    where
        S: AsyncFnOnce(&Peers, &Report, &mut Scene) -> Result<()> + Send + 'static,
    {
        let stage = self.clone();
        Trial::ignorable_test(name, move || stage.play(name, story))
    }

    fn play<S>(&self, name: &'static str, story: S) -> Result<Completion, Failed>
    where
        S: AsyncFnOnce(&Peers, &Report, &mut Scene) -> Result<()> + Send + 'static,
    {
        let isthmus = self
            .isthmus
            .get_or_init(|| build_isthmus().map_err(|e| format!("{e:#}")));
        let isthmus = isthmus.as_ref().map_err(Failed::from)?;
        let app = Path::new(env!("CARGO_BIN_EXE_world-app"));
        let peers = match Peers::find(app, isthmus, self.sidecars) {
            Ok(peers) => peers,
            Err(missing) if required() => return Err(missing.to_string().into()),
            Err(missing) => return Ok(Completion::ignored_with(missing)),
        };
        let keep = self.keep;
        // The world moves its thread into a namespace: one of its own.
        let told = thread::spawn(move || tell(name, keep, &peers, story)).join();
        match told {
            Ok(Ok(())) => Ok(Completion::Completed),
            // A part that only this story needs.
            Ok(Err(error)) if error.is::<Missing>() && !required() => {
                Ok(Completion::ignored_with(error))
            }
            Ok(Err(error)) => Err(format!("{error:#}").into()),
            Err(_) => Err("the stage itself panicked".into()),
        }
    }
}

fn tell<S>(name: &str, keep: bool, peers: &Peers, story: S) -> Result<()>
where
    S: AsyncFnOnce(&Peers, &Report, &mut Scene) -> Result<()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let report = Report::begin(name);
        let mut scene = None;
        let told = {
            let story = AssertUnwindSafe(story(peers, &report, &mut scene)).catch_unwind();
            tokio::select! {
                told = story => told.unwrap_or_else(|panic| Err(describe(panic.as_ref()))),
                name = interrupted() => Err(anyhow!("stopped by {name}")),
            }
        };
        if let Some(world) = &scene {
            if let Err(error) = &told {
                eprintln!("\n{name} failed: {error:#}");
                world.keep_logs();
                show_logs(world);
            }
            if keep {
                println!("\nit stands until Ctrl-C:\n{}", world.directions());
                interrupted().await;
            }
        }
        drop(scene);
        told
    })
}

/// Returns when a person, or whoever runs us, wants an end.
async fn interrupted() -> &'static str {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => "Ctrl-C",
        () = wait(SignalKind::terminate()) => "SIGTERM",
    }
}

fn describe(panic: &(dyn std::any::Any + Send)) -> anyhow::Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    anyhow!("panicked: {}", text.unwrap_or("without a message"))
}

/// The ends of the logs of what is ours, and of everything that said little.
fn show_logs(world: &World) {
    let Ok(entries) = std::fs::read_dir(world.run().logs()) else {
        return;
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if !["audit", "etcd", "apiserver", "controllers", "load"]
            .iter()
            .any(|noisy| name.contains(noisy))
        {
            eprintln!("--- {name}\n{}", tail(&file, 12));
        }
    }
}

/// By which profile our own command is built: as this test was, unless `ISTHMUS_PROFILE`
/// says another.
pub(crate) fn profile() -> Result<String> {
    if let Ok(profile) = env::var("ISTHMUS_PROFILE") {
        return Ok(profile);
    }
    let test = env::current_exe()?;
    let profile = test
        .parent()
        .and_then(Path::parent)
        .and_then(Path::file_name);
    let profile = profile.context("a test outside of a target directory")?;
    Ok(match profile.to_str() {
        Some("debug") | None => "dev".to_owned(),
        Some(name) => name.to_owned(),
    })
}

/// Builds our own command and says where it is.
fn build_isthmus() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let target = test.ancestors().nth(3);
    let target = target.context("a test outside of a target directory")?;
    let profile = profile()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--package", "isthmus", "--profile", &profile];
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .arg("--target-dir")
        .arg(target)
        .output()?;
    if !output.status.success() {
        bail!(
            "isthmus does not build: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let directory = match profile.as_str() {
        "dev" => "debug",
        other => other,
    };
    Ok(target.join(directory).join("isthmus"))
}
