//! A gateway as a process of its own, under hostile clients, long transfers and want.
//!
//! The binary is both: told `gateway`, it is the gateway; else it starts itself as that
//! and plays clients and endpoints, so that descriptors and memory of the two are apart.
//! Tests run one after another: several of them use both cores up.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails here"
)]

mod budget;
mod bulk;
#[path = "../gateway/control_plane.rs"]
#[expect(dead_code, reason = "not all that tests of the gateway need of it")]
mod control_plane;
mod descriptors;
mod hostile;
mod instructions;
mod istiod;
mod kernel;
mod limits;
mod load;
mod neighbour;
mod order;
mod process;
mod quota;
mod silence;
mod sockets;
mod starved;
mod traced;
mod way;
#[path = "../gateway/world.rs"]
#[expect(
    dead_code,
    reason = "the ground of all socket tests; not all stand on all of it"
)]
mod world;

use std::{fmt::Display, future::Future, process::ExitCode};

use libtest_mimic::{Arguments, Trial, run};

fn main() -> ExitCode {
    let told: Vec<String> = std::env::args().skip(1).collect();
    if let [role, orders @ ..] = told.as_slice() {
        match role.as_str() {
            process::ROLE => process::play(orders),
            instructions::ROLE => instructions::play(orders),
            _ => return test(),
        }
        return ExitCode::SUCCESS;
    }
    test()
}

fn test() -> ExitCode {
    sockets::raise_limit();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let trials = [
        hostile::trials(),
        limits::trials(),
        descriptors::trials(),
        silence::trials(),
        bulk::trials(),
        quota::trials(),
        traced::trials(),
        starved::trials(),
        budget::trials(),
        instructions::trials(),
        istiod::trials(),
    ];
    run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}

/// A test named after what it shows.
fn trial<F: Future<Output = ()> + 'static>(name: &str, test: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(test());
        runtime.shutdown_background();
        Ok(())
    })
}

/// A row of the README's table of faults: what is done, what is promised, what this run
/// measured. `fault-table` collects the lines.
fn fault(group: &str, fault: &str, promise: &str, measured: impl Display) {
    println!("fault: {group} | {fault} | {promise} | {measured}");
}

/// A test that cannot run here: shown as ignored, with the reason in its name.
fn skipped(name: &str, why: &str) -> Trial {
    let name = format!("{name} (skipped: {why})");
    Trial::test(name, || Ok(())).with_ignored_flag(true)
}
