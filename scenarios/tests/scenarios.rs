//! Every scenario is one trial, with a world of real parts of its own.
//!
//! ```text
//! cargo test -p scenarios --test scenarios -- two_clusters --keep
//! ```
//!
//! `--keep` (or `ISTHMUS_KEEP=1`) leaves the world standing when its story is
//! told, and says how to look inside, until Ctrl-C. A scenario whose real parts
//! this machine cannot have is ignored with the reason, or fails where
//! `ISTHMUS_REQUIRE_REAL_PARTS=1` says that nothing may be missing.

mod churn;
mod credentials;
mod envoy_verifies_trust;
mod one_cluster;
mod stage;
mod two_clusters;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use stage::Stage;

fn main() -> ExitCode {
    let (own, others): (Vec<_>, Vec<_>) = std::env::args().partition(|arg| arg == "--keep");
    let keep = !own.is_empty() || std::env::var_os("ISTHMUS_KEEP").is_some_and(|set| set == "1");
    let mut arguments = Arguments::from_iter(others);
    // Worlds are measured: one at a time, unless asked otherwise.
    arguments.test_threads.get_or_insert(1);
    let stage = Stage::new(keep);
    let trials: Vec<Trial> = vec![
        stage.trial("one_cluster", one_cluster::story),
        stage.trial("envoy_verifies_trust", envoy_verifies_trust::story),
        stage.trial("two_clusters", two_clusters::story),
        stage.trial("credentials", credentials::story),
        stage.trial("churn", churn::story),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}
