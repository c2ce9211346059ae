//! Pipe memory is limited per user: what an unprivileged gateway carries with its quota,
//! and without any of it left.

use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use rustix::process::geteuid;
use std::os::unix::process::CommandExt;

use crate::{
    fault,
    load::{COPIED, Load, SPLICED},
    process::{Orders, Process},
    skipped, trial,
    way::{Raw, raw_endpoint},
    world::SNI,
};

pub(crate) fn trials() -> Vec<Trial> {
    let (with, without) = (
        "an_unprivileged_gateway_splices",
        "with_the_pipe_quota_used_up_all_is_whole_by_copy",
    );
    if geteuid().is_root() && !another_user_can_run() {
        let why = "another user cannot run this binary";
        return vec![skipped(with, why), skipped(without, why)];
    }
    vec![trial(with, splices), trial(without, copies)]
}

async fn splices() {
    let gateway = unprivileged(false).await;
    let load = Load::LONG;
    let done = load.carry(&gateway, &Raw::to(&gateway)).await;
    let share = load.was_spliced(&gateway);
    let what = "64 x 16 MiB both ways, unprivileged";
    fault("relay", what, SPLICED, format!("{share}; {done}"));
}

async fn copies() {
    let gateway = unprivileged(true).await;
    let done = Load::LONG.carry(&gateway, &Raw::to(&gateway)).await;
    assert_eq!(gateway.carried().0, 0.0);
    let missed = gateway.hits("relay.pipes");
    assert!(missed > 0.0);
    let what = "64 x 16 MiB both ways, unprivileged, pipe quota used up";
    let measured = format!("{done}; {missed} times no pipe");
    fault("relay", what, COPIED, measured);
}

/// A gateway of a user without privileges: of this one, unless it has them.
pub(crate) async fn unprivileged(no_pipes: bool) -> Process {
    Process::start(&Orders {
        routes: &[(SNI, raw_endpoint().await)],
        no_pipes,
        user: geteuid().is_root().then_some(USER),
        ..Orders::default()
    })
}

fn another_user_can_run() -> bool {
    let mut probe = Command::new("/proc/self/exe");
    probe.uid(USER).gid(USER).arg("--list");
    let ended = probe.stdout(Stdio::null()).status();
    ended.is_ok_and(|status| status.success())
}

/// Nobody's, so that nobody else uses its quota.
const USER: u32 = 61_443;
