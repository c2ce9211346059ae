//! `isthmus demo` as a user runs it: what it promises, and what it leaves behind.
//!
//! What needs a real Envoy or kubectl is ignored with the reason where none is to be had, or
//! fails where `ISTHMUS_REQUIRE_REAL_PARTS=1` says that nothing may be missing.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod end;
mod keys;
mod kubectl;
mod looks;
mod promises;
mod subject;

use std::{path::PathBuf, process::ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use scenarios::peers::{self, Missing, required};

fn main() -> ExitCode {
    let trials = vec![
        trial("every_promise_of_the_five_things_holds", || {
            promises::hold(11, &[], "built-in");
        }),
        with(
            peers::envoy,
            "every_promise_holds_with_envoys_too",
            |envoy| promises::hold(13, &["--envoy", envoy], "Envoy 1."),
        ),
        with(
            peers::kubectl,
            "what_kubectl_does_is_seen_in_the_mesh",
            |kubectl| kubectl::plays(kubectl, 15),
        ),
        with(
            peers::kubectl,
            "what_it_prints_to_look_inside_works",
            |kubectl| looks::work(kubectl, 17),
        ),
        trial("keys_do_what_they_say_and_undo_it", || keys::play(19)),
        trial("a_signal_ends_all_of_it", || end::by_signal(&[], [21, 23])),
        with(peers::envoy, "a_signal_ends_envoys_too", |envoy| {
            end::by_signal(&["--envoy", envoy], [25, 27]);
        }),
        trial("processes_of_a_killed_demo_end_with_it", || {
            end::by_kill(&[], 31);
        }),
        with(
            peers::envoy,
            "envoys_of_a_killed_demo_end_with_it",
            |envoy| {
                end::by_kill(&["--envoy", envoy], 33);
            },
        ),
        trial("a_demo_that_nobody_hears_ends", || end::by_deafness(35)),
        trial(
            "an_address_in_use_is_named_and_only_logs_are_left",
            end::by_an_address_in_use,
        ),
        trial("a_broken_promise_leaves_the_logs", || {
            end::with_a_broken_promise(45);
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test that fails by a panic.
fn trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// The same with a real part, by its path.
fn with(
    part: fn() -> Result<PathBuf, Missing>,
    name: &str,
    test: impl FnOnce(&str) + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match part() {
        Ok(path) => {
            test(path.to_str().unwrap());
            Ok(Completion::Completed)
        }
        Err(missing) if required() => Err(Failed::from(missing)),
        Err(missing) => Ok(Completion::ignored_with(missing)),
    })
}
