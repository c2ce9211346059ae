//! Every scenario is one trial, with a world of real parts of its own.
//!
//! ```text
//! cargo test -p scenarios --test scenarios -- two_clusters --keep
//! ```
//!
//! `--keep` (or `ISTHMUS_KEEP=1`) leaves the world standing when its story is
//! told, and says how to look inside, until Ctrl-C. `--sidecars envoy|builtin|auto` (or
//! `ISTHMUS_SIDECARS`) says what stands beside applications: by default Envoys, and our own
//! sidecars where no Envoy is to be had. A scenario whose real parts
//! this machine cannot have is ignored with the reason, or fails where
//! `ISTHMUS_REQUIRE_REAL_PARTS=1` says that nothing may be missing.

mod churn;
mod crash;
mod credentials;
mod envoy_verifies_trust;
mod helloworld;
mod istio;
mod istio_baseline;
mod istio_beside;
mod istio_default;
mod istio_dropin;
mod istio_matrix;
mod istio_scale;
mod newcomer;
mod one_cluster;
mod reading;
mod setting;
mod sidecars_agree;
mod stage;
mod two_clusters;

use std::process::ExitCode;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Trial};
use scenarios::{peers::Sidecars, world::cluster::istio::GatewayKind};

use stage::Stage;

fn main() -> ExitCode {
    let (own, others): (Vec<_>, Vec<_>) = std::env::args().partition(|arg| arg == "--keep");
    let keep = !own.is_empty() || std::env::var_os("ISTHMUS_KEEP").is_some_and(|set| set == "1");
    let (sidecars, others) = match sidecars(others) {
        Ok(taken) => taken,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut arguments = Arguments::from_iter(others);
    // Worlds are measured: one at a time, unless asked otherwise.
    arguments.test_threads.get_or_insert(1);
    let stage = Stage::new(keep, sidecars);
    let trials: Vec<Trial> = vec![
        stage.trial("one_cluster", one_cluster::story),
        stage.trial("envoy_verifies_trust", envoy_verifies_trust::story),
        stage.trial("two_clusters", two_clusters::story),
        stage.trial("credentials", credentials::story),
        stage.trial("crash", crash::story),
        stage.trial("sidecars_agree", sidecars_agree::story),
        stage.trial("churn", churn::story),
        stage.trial("istio_baseline", async |peers, report, scene| {
            istio_baseline::story(GatewayKind::Envoy, peers, report, scene).await
        }),
        stage.trial("istio_ours", async |peers, report, scene| {
            istio_baseline::story(GatewayKind::Ours, peers, report, scene).await
        }),
        stage.trial("istio_dropin", istio_dropin::story),
        stage.trial("istio_beside", istio_beside::story),
        stage.trial("istio_default", istio_default::story),
        stage.trial("istio_matrix", istio_matrix::story),
        stage.trial("istio_scale", istio_scale::story),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Takes `--sidecars <kind>` out of the arguments; none is `auto`.
fn sidecars(mut arguments: Vec<String>) -> Result<(Option<Sidecars>, Vec<String>)> {
    let mut wish = std::env::var("ISTHMUS_SIDECARS").ok();
    if let Some(place) = arguments.iter().position(|arg| arg == "--sidecars") {
        let mut taken = arguments.drain(place..arguments.len().min(place + 2));
        wish = Some(taken.nth(1).context("--sidecars envoy|builtin|auto")?);
    }
    let wish = wish.filter(|wish| !wish.is_empty() && wish != "auto");
    Ok((wish.map(|wish| wish.parse()).transpose()?, arguments))
}
